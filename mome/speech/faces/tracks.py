"""Everybody who is seen in a video, each followed from frame to frame."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from mome.errors import ConfigError
from mome.speech.faces.cascade import cascade_boxes
from mome.speech.faces.face import Face, MeanFace, Points, turned
from mome.speech.faces.loading import Loaded, load_faces
from mome.speech.faces.models import FaceModels

__all__ = ["STRIDE", "Track", "Tracks", "follow_faces"]

STRIDE = 2  # frames: a head hardly moves in two, and the papers' smoothing is over twelve
_DETECT_EVERY = 24  # frames after which the whole picture is searched again, for whoever came in
_SEARCH_EVERY = 6  # as long as somebody is lost, or nobody was seen
_MOST_FACES = 4  # a crowd is no recording of a speaker
_PRESENT = 0.25  # share of the frames in which a face is found that counts as somebody
_SAME = 0.6  # of its side, by which a face is moved between two searches

Frames = npt.NDArray[np.uint8]


@dataclass(eq=False)
class Track:
    """One person.

    Args:
        faces: By frame; only of those that were searched, and only where this face was found.
    """

    faces: dict[int, Face] = field(default_factory=dict)

    @property
    def last(self) -> Face:
        """Where it was seen last."""
        return self.faces[max(self.faces)]


@dataclass(frozen=True)
class Tracks:
    """Who was seen in a video.

    Args:
        people: Those seen for a quarter of it or more, who is seen longest first.
        searched: Number of frames in which they were looked for.
        mean_face: Of the model that gave their points.
    """

    people: tuple[Track, ...]
    searched: int
    mean_face: MeanFace


def follow_faces(frames: Frames, models: FaceModels) -> Tracks:
    """Follow every face through ``(T, H, W)``; lying and upside-down pictures are looked at from all sides.

    The whole picture is searched once a second; between the searches, and where landmarks are known, each
    face is looked for where it was.

    Raises:
        ConfigError: If a model cannot be loaded, or there is none.
    """
    loaded = load_faces(models)
    mean_face = _mean_face(loaded)
    tracks: list[Track] = []
    quarters = _upright(frames, loaded)
    searched = range(0, len(frames), STRIDE)
    last_search = -_DETECT_EVERY
    for index in searched:
        image = frames[index]
        live = [track for track in tracks if track.faces and index - max(track.faces) <= STRIDE]
        missing = [track for track in live if not _step(track, index, image, loaded)]
        wait = _SEARCH_EVERY if len(missing) == len(live) else _DETECT_EVERY
        if missing or loaded.landmarks is None or index - last_search >= wait:
            last_search = index
            for face in _search(image, loaded, quarters):
                _assign(face, index, tracks)
    people = [track for track in tracks if len(track.faces) >= _PRESENT * len(searched)]
    # The surest of equals: a picture on the wall is there all the time, too.
    people.sort(key=lambda track: (-len(track.faces), -track.last.side))
    return Tracks(tuple(people), len(searched), mean_face)


def _mean_face(loaded: Loaded) -> MeanFace:
    model = loaded.landmarks or loaded.detector
    if model is None:
        raise ConfigError("no model of faces; expected a detector, landmarks or both")
    return model.mean_face


def _step(track: Track, index: int, image: Frames, loaded: Loaded) -> bool:
    """Look for a face where it was two frames ago, and say whether it is there."""
    if loaded.landmarks is None:
        return True  # the picture is searched anyway
    last = track.last
    face = loaded.landmarks.follow(image, last.centre, last.side, last.roll)
    if face is not None:
        track.faces[index] = face
    return face is not None


def _upright(frames: Frames, loaded: Loaded) -> int:
    """Return by how many quarters, counter-clockwise, pictures are to be turned to show somebody upright."""
    for index in np.unique(np.linspace(0, len(frames) - 1, 4).astype(int)):
        best = {quarters: _best(frames[index], loaded, quarters) for quarters in range(4)}
        if max(best.values()) > 0.0:
            # A face that is found from several sides is upright where it is found best.
            return max(best, key=lambda quarters: (best[quarters], -quarters))
    return 0


def _best(image: Frames, loaded: Loaded, quarters: int) -> float:
    return max((face.score for face in _search(image, loaded, quarters)), default=0.0)


def _search(image: Frames, loaded: Loaded, quarters: int) -> list[Face]:
    """Return the faces of a whole picture, with landmarks where there is a model for them."""
    turn = np.ascontiguousarray(np.rot90(image, quarters))
    found: list[Face] = []
    for centre, side, roll, face in _coarse(turn, loaded)[:_MOST_FACES]:
        if loaded.landmarks is None:
            assert face is not None  # without landmarks there is a detector
            found.append(face)
            continue
        near = loaded.landmarks.follow(turn, centre, side, roll)
        # Once more from there: a box is less exact than the landmarks.
        exact = near and loaded.landmarks.follow(turn, near.centre, near.side, near.roll)
        if exact is not None:
            found.append(exact)
    return [turned(face, quarters, image.shape) for face in found]


def _coarse(image: Frames, loaded: Loaded) -> list[tuple[Points, float, float, Face | None]]:
    """Return centre, side and roll of every face, and the face where a detector knows more."""
    if loaded.detector is not None:
        return [(face.centre, face.side, face.roll, face) for face in loaded.detector.find(image)]
    return [(box[:2], float(box[2]), 0.0, None) for box in cascade_boxes(image)]


def _assign(face: Face, index: int, tracks: list[Track]) -> None:
    """Put a face to whom it belongs: who was nearest, or somebody new."""
    by_distance = sorted(tracks, key=lambda track: float(np.linalg.norm(track.last.centre - face.centre)))
    for track in by_distance[:1]:
        if np.linalg.norm(track.last.centre - face.centre) < _SAME * max(face.side, track.last.side):
            track.faces.setdefault(index, face)
            return
    if len(tracks) < _MOST_FACES:
        tracks.append(Track({index: face}))
