"""Splits for corpora that come without."""

from collections import Counter

from data.corpora.splits import split_items


def test_a_tenth_goes_to_test_and_a_tenth_to_validation():
    assert Counter(split_items(f"u{i}" for i in range(40)).values()) == {
        "train": 32,
        "test": 4,
        "validation": 4,
    }


def test_order_and_repetition_play_no_part():
    names = [f"u{i}" for i in range(20)]
    assert split_items(reversed(names * 2)) == split_items(names)


def test_few_items_fill_train_first_then_test():
    assert split_items(["a"]) == {"a": "train"}
    assert sorted(split_items(["a", "b"]).values()) == ["test", "train"]
    assert sorted(split_items(["a", "b", "c"]).values()) == ["test", "train", "validation"]
    assert split_items([]) == {}
