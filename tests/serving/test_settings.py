from __future__ import annotations

from pathlib import Path

import pytest

from mome.errors import ConfigError
from mome.records import Decoding
from serving.keys import Key
from serving.settings import Settings


def test_nothing_set_gives_the_defaults() -> None:
    assert Settings.from_environment({}) == Settings()
    assert Settings().bundle == Path(__file__).parents[2] / "bundle"


def test_every_variable_is_read() -> None:
    settings = Settings.from_environment(
        {
            "MOME_BUNDLE": "/b",
            "MOME_SCALE_FILE": "/s/scale.json",
            "MOME_REQUEST_LOG": "/r",
            "MOME_API_KEY": "sesame, open",
            "MOME_MODEL_ALIASES": "whisper-1,gpt-4o-transcribe",
            "MOME_LANGUAGE": "german",
            "MOME_CORS_ORIGINS": "https://app.example",
            "MOME_MAX_UPLOAD_MB": "1.5",
            "MOME_MAX_DURATION_S": "12",
            "MOME_DECODE_TIMEOUT_S": "3",
            "MOME_DECODE_MEMORY_MB": "500",
            "MOME_DECODERS": "3",
            "MOME_MAX_BATCH": "8",
            "MOME_MAX_BATCH_S": "40",
            "MOME_MAX_WAITING_S": "90",
            "MOME_MAX_SESSIONS": "5",
            "MOME_SESSION_IDLE_S": "30",
            "MOME_DRAIN_S": "20",
            "MOME_THREADS": "2",
            "MOME_DEVICE": "cuda:1",
            "MOME_NUM_BEAMS": "5",
            "MOME_COMPILE_DECODING": "true",
        }
    )

    assert settings == Settings(
        bundle=Path("/b"),
        scale_file=Path("/s/scale.json"),
        request_log=Path("/r"),
        api_keys=(Key("sesame", "key-1"), Key("open", "key-2")),
        model_aliases=("whisper-1", "gpt-4o-transcribe"),
        language="german",
        cors_origins=("https://app.example",),
        max_upload_bytes=1_500_000,
        max_duration_s=12.0,
        decode_timeout_s=3.0,
        decode_memory_bytes=500_000_000,
        decoders=3,
        max_batch=8,
        max_batch_s=40.0,
        max_waiting_s=90.0,
        max_sessions=5,
        session_idle_s=30.0,
        drain_s=20.0,
        threads=2,
        device="cuda:1",
        num_beams=5,
        compile_decoding=True,
    )


def test_a_request_log_may_be_a_database_whose_password_nobody_sees() -> None:
    address = "postgresql+psycopg://mome:sesame@db.example/speech?sslmode=verify-full"
    settings = Settings.from_environment({"MOME_REQUEST_LOG": f"{address}\n"})
    assert settings.request_log == address
    assert "sesame" not in repr(settings)
    with pytest.raises(ConfigError, match="MOME_REQUEST_LOG: no database of scheme 'mysql'") as raised:
        Settings.from_environment({"MOME_REQUEST_LOG": "mysql://mome:sesame@db.example/speech"})
    assert "sesame" not in str(raised.value)


def test_an_empty_variable_counts_as_absent() -> None:
    assert Settings.from_environment({"MOME_API_KEY": "", "MOME_THREADS": " "}) == Settings()


def test_a_key_that_an_editor_wrote_is_the_key_that_a_client_sends() -> None:
    given = {"MOME_API_KEY": "sesame\n", "MOME_BUNDLE": " /b\r\n"}
    assert Settings.from_environment(given) == Settings(api_keys=(Key("sesame", "key-1"),), bundle=Path("/b"))


@pytest.mark.parametrize("value", ["many", "0", "-1", "nan", "inf"])
@pytest.mark.parametrize(
    "name", ["MOME_MAX_UPLOAD_MB", "MOME_MAX_WAITING_S", "MOME_MAX_BATCH", "MOME_THREADS"]
)
def test_what_is_no_number_above_zero_is_named(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=f"{name}: expected a number above zero, got '{value}'"):
        Settings.from_environment({name: value})


def test_half_a_thread_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"MOME_THREADS: expected a whole number, got 1\.5"):
        Settings.from_environment({"MOME_THREADS": "1.5"})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"MOME_COMPILE_DECODING": "yes"}, "MOME_COMPILE_DECODING: expected true or false, got 'yes'"),
        ({"MOME_COMPILE_DECODING": "true"}, "MOME_COMPILE_DECODING: is for GPUs, but MOME_DEVICE is cpu"),
    ],
)
def test_a_switch_that_says_nothing_or_cannot_be_is_refused(values: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Settings.from_environment(values)


def test_the_key_is_not_printed() -> None:
    assert "sesame" not in repr(Settings(api_keys=(Key("sesame"),)))


def test_keys_can_be_in_a_file_which_must_not_be_empty(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("one\r\n\n two \n")
    given = {"MOME_API_KEY_FILE": str(keys), "MOME_API_KEY": "three"}
    keys_in_force = Settings.from_environment(given).api_keys
    assert [key.secret for key in keys_in_force] == ["three", "one", "two"]
    for content in ("", " \n"):
        keys.write_text(content)
        with pytest.raises(ConfigError, match=r"MOME_API_KEY_FILE: .*is empty"):
            Settings.from_environment(given)
    keys.unlink()
    with pytest.raises(ConfigError, match=r"MOME_API_KEY_FILE: .*cannot be read"):
        Settings.from_environment(given)


def test_what_limits_a_key_stands_behind_it(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("old\nnew name=trial seconds_per_day=7200.5 requests_per_minute=60  in_flight=2\n")
    given = {"MOME_API_KEY_FILE": str(keys), "MOME_API_KEY": "old"}
    limited = Key("new", "trial", requests_per_minute=60, seconds_per_day=7200.5, in_flight=2)
    assert Settings.from_environment(given).api_keys == (Key("old", "key-1"), limited)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("hush name=a b", "line 1: behind the key stand name=, requests_per_minute="),
        ("hush per_minute=3", "line 1: behind the key stand name=, requests_per_minute="),
        ("hush in_flight=1 in_flight=2", "line 1: in_flight is given twice"),
        ("hush in_flight=0", "line 1: in_flight: expected a whole number above zero, got '0'"),
        ("hush seconds_per_day=inf", "line 1: seconds_per_day: expected a number above zero, got 'inf'"),
        ("hush name=a/b", r"line 1: name: expected letters, digits, '\.', '_' and '-', got 'a/b'"),
        ("hush name=a\nhush in_flight=2", "the key without a name is given twice, with other limits"),
        ("hush name=a\nsilence name=a", "two keys have the name 'a'"),
    ],
)
def test_a_line_that_limits_nothing_is_named_and_not_shown(tmp_path: Path, line: str, message: str) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"{line}\n")
    with pytest.raises(ConfigError, match=message) as caught:
        Settings.from_environment({"MOME_API_KEY_FILE": str(keys)})
    assert "hush" not in str(caught.value)


def test_texts_are_written_as_judged_unless_it_is_said_otherwise() -> None:
    judged = Decoding(num_beams=15, max_new_tokens=32)
    assert Settings().decoding(judged) == judged
    assert Settings(num_beams=1).decoding(judged) == Decoding(num_beams=1, max_new_tokens=32)
    with pytest.raises(ConfigError, match="decodes greedily, but there are 15 beams"):
        Settings(compile_decoding=True, device="cuda").decoding(judged)
