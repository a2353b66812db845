"""The English that the embedded foundation is taught: what its encoders hear and its LLM reads.

Half of the sentences follow the GRID grammar or are digit strings, because those are the tasks of
the small corpora; the rest are common words in any order, so that no word order can be guessed.
"""

from __future__ import annotations

import random

from mome.synthesis.grammar import GRID, grid_sentence

__all__ = ["VOCABULARY", "draw_sentence"]

_DIGITS = GRID[4]
_COMMON = (
    "about above across after all along also always and any are around ask away back bad bank base be been before "
    "began begin behind best better big bird black boat body book both box boy bread bring brown build burn but buy "
    "call came can car care carry case cat catch change child choose city class clean clear close cloud coat cold "
    "come cook corner could count country cover cross cup cut dance dark day deep did dinner do dog done door down "
    "draw dream drink drive drop dry each ear early earth east easy eat edge egg else end enough even ever every eye "
    "face fact fall family far farm fast father feel feet few field fight find finger fire first fish floor flower "
    "fly follow food foot for forest forget found free friend from front fruit full game garden gave get girl give "
    "glass go gold gone good great ground group grow had half hand happy hard has hat have he head hear heart heavy "
    "held help her here high hill him his hit hold home hope horse hot hour house how hundred hunt ice idea if island "
    "it job join jump just keep key kind king knew know lake land large last late laugh law lead learn leave left leg "
    "less let letter life light like line list listen little live long look lost loud love low machine made mail main "
    "make man many map mark market may me mean measure meet middle might milk mind minute miss money month moon more "
    "morning most mother mountain mouth move much music must my name near neck need never new next night no noise "
    "north nose not note nothing number ocean of off often oh old on once only open or orange order other our out "
    "over own page paint pair paper park part pass past path pay people phone picture piece plan plant play point "
    "poor power press pull push put queen question quick quiet quite race rain ran reach read ready real rest rich "
    "ride right ring rise river road rock room round row rule run safe said sail salt same sand save saw say school "
    "science sea seat second see seem sell send sentence serve shape share she ship shoe shop short should show shut "
    "side sign silver simple since sing sister sit size sky sleep slow small smile snow so some song sound south "
    "space speak spell spend stand star start state stay step still stone stop store story street strong study such "
    "sugar summer sun sure swim table take talk tall teach tell ten than thank that the their them then there these "
    "they thing think this those though thought thousand through time to today together told took top town trade "
    "train travel tree trip true try turn twenty under until up use usual valley very visit voice wait walk wall want "
    "war warm was wash watch water wave way we wear week well went were west what wheel when where which while who "
    "whole why wide wild will wind window winter wish woman wonder wood word work world would write year yellow yes "
    "yet you young your"
).split()

VOCABULARY: tuple[str, ...] = tuple(sorted({word for words in GRID for word in words} | set(_COMMON) | {"w"}))


def draw_sentence(rng: random.Random) -> str:
    """Draw a GRID sentence (45 %), a string of three to seven digits (25 %) or common words (30 %)."""
    kind = rng.random()
    if kind < 0.45:
        return grid_sentence(rng)
    if kind < 0.70:
        return " ".join(rng.choice(_DIGITS) for _ in range(rng.randint(3, 7)))
    return " ".join(rng.choice(VOCABULARY) for _ in range(rng.randint(3, 7)))
