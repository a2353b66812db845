"""Shards: decoded utterances in tar files, a manifest beside them, read back in manifest order.

An utterance is one member ``<id>.flac`` (16 kHz, 16 bits) and one ``<id>.mp4`` (mouth, 25 fps), or one
of the two; dots of its id are ``%2E`` there, because for WebDataset a key ends at the first one. The same
utterances give the same bytes, so a data version changes only where the data did.
Each member carries the SHA-256 of its content, so that damage is found before anything is learnt from it,
and the tar file begins with one over all of them: which recordings it holds is known without reading them.
It goes on with a list of where each lies, so that of a shard in a bucket no more is read than is asked for.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mome.errors import CorpusError, MediaError
from mome.records import Modality, Split, Utterance
from mome.speech.audio import encode_flac, read_audio
from mome.speech.manifest_rows import Rows
from mome.speech.manifest_table import MANIFEST_SCHEMA, read_table, write_table
from mome.speech.media import Clip, as_long_as_video, length_beside_video
from mome.speech.shard_files import FolderShards, Shards, shards_of
from mome.speech.video import encode_mouth, read_video
from mome.storage import new_file

__all__ = [
    "SplitReader",
    "encode_clip",
    "read_manifest",
    "read_split",
    "shard_sum",
    "shard_sums",
    "write_manifest",
    "write_members",
    "write_shard",
]

_DIGEST = "MOME.sha256"  # key in the header of a member; upper case marks a vendor's own
_CONTENT = "MOME.content"  # key in the header of the tar file
_MEMBERS = "MOME.members"  # likewise: where each member lies behind that header, its size and sum


class _Member(NamedTuple):
    """Where the content of a member lies, and its sum in hexadecimal; None without."""

    offset: int
    size: int
    digest: str | None


class _Shard:
    """Where the members of a shard lie, in some hundred bytes for each: a corpus may have millions.

    Args:
        name: Of the shard.
        uri: How messages name it.
        members: By name.
    """

    def __init__(self, name: str, uri: str, members: Mapping[str, _Member]) -> None:
        self.name, self.uri = name, uri
        ordered = sorted((name.encode(), member) for name, member in members.items())
        self._names = np.array([name for name, _ in ordered], np.bytes_)
        self._places = np.array([(member.offset, member.size) for _, member in ordered], np.int64)
        self._sums = np.array([(member.digest or "").encode() for _, member in ordered], "S64")

    def find(self, name: str) -> _Member | None:
        """Return where a member lies, or None if there is no such member."""
        place = int(np.searchsorted(self._names, name.encode()))
        if place == len(self._names) or self._names[place] != name.encode():
            return None
        offset, size = self._places[place].tolist()
        return _Member(offset, size, self._sums[place].decode())


def write_shard(path: Path, utterances: Iterable[tuple[Utterance, Clip]]) -> None:
    """Write clips to a tar file, whole or not at all; members are sorted by name.

    Raises:
        MediaError: If the samples of an utterance are not finite; the message names it.
    """
    members: dict[str, bytes] = {}
    for utterance, clip in utterances:
        members |= encode_clip(utterance, clip)
    write_members(path, members)


def encode_clip(utterance: Utterance, clip: Clip) -> dict[str, bytes]:
    """Return the members of a shard that hold a clip, by name.

    Raises:
        MediaError: If its samples are not finite; the message names the utterance.
    """
    members: dict[str, bytes] = {}
    try:
        if clip.samples is not None:
            members[_member_name(utterance.utterance_id, ".flac")] = encode_flac(clip.samples)
        if clip.mouth is not None:
            members[_member_name(utterance.utterance_id, ".mp4")] = encode_mouth(clip.mouth)
    except MediaError as error:
        raise MediaError(f"utterance {utterance.utterance_id}: {error}") from error
    return members


def write_members(path: Path, members: Mapping[str, bytes]) -> None:
    """Write what `encode_clip` returned of all utterances of a shard, as `write_shard` does."""
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in members.items()}
    infos = []
    for name, content in sorted(members.items()):
        # TarInfo starts with no time, no owner and one mode: nothing of this machine gets in.
        info = tarfile.TarInfo(name)
        info.size = len(content)
        info.pax_headers = {_DIGEST: sums[name]}
        infos.append(info)
    # A header that nothing follows is no tar file.
    about = {_CONTENT: _sum_of(sums), _MEMBERS: _listed(infos)} if sums else None
    with (
        new_file(path) as temporary,
        tarfile.open(temporary, "w", format=tarfile.PAX_FORMAT, pax_headers=about) as tar,
    ):
        for info in infos:
            tar.addfile(info, io.BytesIO(members[info.name]))


def shard_sum(path: Path) -> str:
    """Return a sum that differs between shards of different recordings; only the first bytes are read.

    Raises:
        CorpusError: If the shard is missing or damaged, or was written before shards had such a sum.
    """
    return _sum_at(FolderShards(path.parent), path.name)


def shard_sums(dataset: Path) -> Iterator[str]:
    """Yield `shard_sum` of every shard of a dataset, by name."""
    shards = shards_of(dataset)
    for name in shards.names():
        yield _sum_at(shards, name)


def write_manifest(dataset: Path, utterances: Sequence[Utterance]) -> None:
    """Write ``manifest.parquet`` of a dataset folder: one row per utterance, in the given order."""
    rows = [utterance.model_dump() for utterance in utterances]
    write_table(dataset, pa.Table.from_pylist(rows, schema=MANIFEST_SCHEMA))


def read_manifest(dataset: Path) -> list[Utterance]:
    """Read ``manifest.parquet`` of a dataset folder; its columns take less memory: `read_table`.

    Raises:
        CorpusError: If it is missing, is not parquet, or its rows are not utterances.
    """
    return list(Rows(read_table(dataset)))


def read_split(dataset: Path, split: Split) -> Iterator[tuple[Utterance, Clip]]:
    """Yield the usable utterances of a split with their clips, in manifest order, one at a time.

    Raises:
        CorpusError: If the manifest or a shard is missing or damaged, or the two do not agree.
    """
    with closing(SplitReader(dataset, split)) as reader:
        for index, utterance in enumerate(reader.utterances):
            yield utterance, reader.clip(index)


class SplitReader:
    """The usable utterances of a split, of which any clip is read when it is asked for.

    Nothing is kept but where clips lie, so that a split need not fit into memory, may have any number of
    shards, and is read on by a fork of this process. What a method raises is what `read_split` raises.

    Args:
        dataset: Folder that holds the manifest and the shards.
        split: To read.
    """

    def __init__(self, dataset: Path, split: Split) -> None:
        self.dataset, self.split = dataset, split
        table = read_table(dataset)
        kept = pc.and_(pc.equal(table["split"], split), table["decodable"])
        table = table.filter(kept)
        self.utterances: Sequence[Utterance] = Rows(table)
        self._num_samples, self._num_frames, self._has_video = (
            table[name].to_numpy() for name in ("num_samples", "num_frames", "has_video")
        )
        self._files = shards_of(dataset)
        self._shards: dict[str, _Shard] = {}

    def __len__(self) -> int:
        return len(self.utterances)

    @property
    def modality(self) -> Modality:
        """What the clips hold, by the first of them."""
        first = self.utterances[0]
        if not first.num_samples:
            return "video"
        return "av" if first.has_video else "audio"

    def clip(self, index: int, only: Modality = "av") -> Clip:
        """Return the clip of an utterance, or ``only`` its sound or its lips."""
        try:
            return Clip(
                None if only == "video" else self.sound(index), None if only == "audio" else self.mouth(index)
            )
        except MediaError as error:
            utterance = self.utterances[index]
            raise CorpusError(
                f"{self._files.uri(utterance.shard)}: utterance {utterance.utterance_id}: {error}"
            ) from error

    def sound(self, index: int) -> npt.NDArray[np.float32] | None:
        """Return the samples ``(N,)`` of an utterance at 16 kHz, or None without sound.

        Sound that goes with video is as long as the video.
        """
        utterance = self.utterances[index]
        if not utterance.num_samples:
            return None
        samples: npt.NDArray[np.float32] = self._decoded(utterance, ".flac", utterance.num_samples, "samples")
        return as_long_as_video(samples, utterance.num_frames) if utterance.has_video else samples

    def num_samples(self, index: int) -> int:
        """Return how many samples `sound` returns, without decoding them."""
        # Of the columns: whoever plans asks for all.
        num_samples = int(self._num_samples[index])
        if not self._has_video[index]:
            return num_samples
        return length_beside_video(num_samples, int(self._num_frames[index]))

    def mouth(self, index: int) -> npt.NDArray[np.uint8] | None:
        """Return the mouth frames ``(T, 96, 96)`` of an utterance at 25 fps, or None without video."""
        utterance = self.utterances[index]
        if not utterance.has_video:
            return None
        frames: npt.NDArray[np.uint8] = self._decoded(utterance, ".mp4", utterance.num_frames, "mouth frames")
        return frames

    def stored(self, index: int) -> dict[str, bytes]:
        """Return the files of an utterance as the shard has them, by name: ``<id>.flac``, ``<id>.mp4``."""
        utterance = self.utterances[index]
        endings = [".flac"] * bool(utterance.num_samples) + [".mp4"] * utterance.has_video
        shard = self._shard(utterance)
        return {
            utterance.utterance_id + ending: _read_member(utterance.utterance_id, ending, shard, self._files)
            for ending in endings
        }

    def close(self) -> None:
        """Forget the shards."""
        self._shards.clear()

    def _shard(self, utterance: Utterance) -> _Shard:
        if utterance.shard not in self._shards:
            self._shards[utterance.shard] = _look_through(self._files, utterance.shard)
        return self._shards[utterance.shard]

    def _decoded(self, utterance: Utterance, ending: str, promised: int, unit: str) -> npt.NDArray[Any]:
        name = utterance.utterance_id
        shard = self._shard(utterance)
        content = _read_member(name, ending, shard, self._files)
        try:
            held = read_audio(content).samples if ending == ".flac" else read_video(content).frames
        except MediaError as error:
            raise CorpusError(f"{shard.uri}: utterance {name}: {error}") from error
        if len(held) != promised:
            raise CorpusError(
                f"{shard.uri}: utterance {name} has {len(held)} {unit}, but the manifest says {promised}"
            )
        return held


def _look_through(shards: Shards, name: str) -> _Shard:
    uri = shards.uri(name)
    with ExitStack() as open_files:
        tar = _open_tar(shards, name, open_files)
        promised = _promised(uri, tar)
        try:
            members = _members(tar)
        except (tarfile.TarError, OSError, ValueError) as error:
            raise CorpusError(f"{uri}: damaged; expected a tar file of clips: {error}") from error
    # What a training kept is found again by the promise: recordings that were changed behind it are not used.
    held = _sum_of({name: member.digest or "" for name, member in members.items()})
    if held != promised:
        raise CorpusError(
            f"{uri}: damaged; its recordings have the sum {held[:12]}, but it begins with {promised[:12]}"
        )
    return _Shard(name, uri, members)


def _listed(infos: Iterable[tarfile.TarInfo]) -> str:
    """Return where the contents of members lie that are written one after the other."""
    place, listed = 0, {}
    for info in infos:
        place += len(info.tobuf(tarfile.PAX_FORMAT))
        listed[info.name] = (place, info.size, info.pax_headers[_DIGEST])
        place += -(-info.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
    return json.dumps(listed, separators=(",", ":"))


def _members(tar: tarfile.TarFile) -> dict[str, _Member]:
    first = tar.next()
    if first is not None and _MEMBERS in tar.pax_headers:
        begin, listed = first.offset, json.loads(tar.pax_headers[_MEMBERS])
        return {name: _Member(begin + place, size, digest) for name, (place, size, digest) in listed.items()}
    # An earlier version wrote it: from header to header, which in a bucket is a request for each.
    return {
        info.name: _Member(info.offset_data, info.size, info.pax_headers.get(_DIGEST))
        for info in tar.getmembers()
    }


def _open_tar(shards: Shards, name: str, open_files: ExitStack) -> tarfile.TarFile:
    uri = shards.uri(name)
    try:
        file = open_files.enter_context(shards.open(name))
        return open_files.enter_context(tarfile.open(fileobj=file, mode="r:"))
    except FileNotFoundError:
        raise CorpusError(f"{uri}: no such file; the manifest names it as a shard") from None
    except (tarfile.TarError, OSError) as error:
        raise CorpusError(f"{uri}: damaged; expected a tar file of clips: {error}") from error


def _sum_at(shards: Shards, name: str) -> str:
    with ExitStack() as open_files:
        return _promised(shards.uri(name), _open_tar(shards, name, open_files))


def _promised(uri: str, tar: tarfile.TarFile) -> str:
    if _CONTENT in tar.pax_headers:
        return tar.pax_headers[_CONTENT]
    if tar.next() is None:
        return _sum_of({})
    raise CorpusError(
        f"{uri}: does not begin with the sum of its recordings; an earlier version wrote it: prepare the "
        "corpus again"
    )


def _sum_of(sums: Mapping[str, str]) -> str:
    return hashlib.sha256("".join(f"{sums[name]}  {name}\n" for name in sorted(sums)).encode()).hexdigest()


def _member_name(utterance_id: str, ending: str) -> str:
    return utterance_id.replace("%", "%25").replace(".", "%2E") + ending


def _read_member(utterance_id: str, ending: str, shard: _Shard, shards: Shards) -> bytes:
    name = utterance_id + ending
    # An earlier version wrote the id as it is.
    member = shard.find(_member_name(utterance_id, ending)) or shard.find(name)
    if member is None:
        raise CorpusError(f"{shard.uri}: {name} is missing; the manifest says that it is in this shard")
    try:
        content = shards.read(shard.name, member.offset, member.size)
    except OSError as error:
        raise CorpusError(f"{shard.uri}: {name} cannot be read: {error}") from error
    if hashlib.sha256(content).hexdigest() != member.digest:
        raise CorpusError(f"{shard.uri}: {name} is damaged; its content does not match its checksum")
    return content
