"""Texts as people write them become what is said."""

import pytest
from transformers.models.speecht5.number_normalizer import EnglishNumberNormalizer

from data.corpora import open_corpus
from data.corpora.spoken import cardinal, ordinal, spoken


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ('Printing, in "1455"; (a--start).', "printing in fourteen fifty five a start"),
        ("the Netherlands\u2019 'own' rock-and-roll", "the netherlands own rock and roll"),
        ("it\u2019s O'Neill's", "it's o'neill's"),
        ("1,205 men, 1205 men, 1900, 1903", "one thousand two hundred five men twelve oh five men"
         " nineteen hundred nineteen oh three"),
        ("in the 1830s and 1500s", "in the eighteen thirties and fifteen hundreds"),
        ("the 1st, 12th, 21st and 30th", "the first twelfth twenty first and thirtieth"),
        ("3.14 is 50%", "three point one four is fifty percent"),
        ("$1.01, £3.50, €20", "one dollar one cent three pounds fifty twenty euros"),
        ("007 b52s", "zero zero seven b five two s"),
        ("Mr. Smith & Co.", "mister smith and company"),
        ("CAF\u00c9, cafe\u0301", "caf\u00e9 caf\u00e9"),
        ("already said", "already said"),
        ("", ""),
    ],
)  # fmt: skip
def test_a_text_is_read_aloud(written, said):
    assert spoken(written) == said
    assert spoken(said) == said


def test_numbers_agree_with_those_of_another_program():
    other = EnglishNumberNormalizer()
    for number in [*range(1, 1100), 2000, 20_417, 1_000_001, 987_654_321, 10**12 + 5]:
        assert cardinal(number).split() == other(str(number)).replace(" and ", " ").split()
    assert cardinal(10**15).split() == ["one", *["zero"] * 15]


def test_places_count_as_their_numbers():
    assert [ordinal(number) for number in (2, 3, 5, 8, 9, 11, 20, 100)] == (
        ["second", "third", "fifth", "eighth", "ninth", "eleventh", "twentieth", "one hundredth"]
    )


def test_the_setting_changes_the_texts_and_with_them_the_corpus(
    tmp_path, make_corpus, write_manifest, prepare_params
):
    rows = make_corpus(tmp_path)
    write_manifest(tmp_path, [row | {"transcript": "Yes, 2!"} for row in rows])
    written = open_corpus(str(tmp_path), prepare_params)
    said = open_corpus(str(tmp_path), prepare_params.model_copy(update={"text": "spoken"}))
    assert {u.transcript for u in written.utterances} == {"Yes, 2!"}
    assert {u.transcript for u in said.utterances} == {"yes two"}
    assert written.key != said.key
