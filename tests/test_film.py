"Splits of any film, and scenes of any photographs"
from pathlib import Path
import numpy as np
import pytest
from hypothesis import given, strategies as st
from PIL import Image
from asl_signs.film import TAKES, film_splitter, is_held_out, scenes, take_splitter
from asl_signs.signs import number_of, sign_of

stretches, gaps, shares = st.integers(1, 600), st.integers(0, 120), st.sampled_from([.1, .2, .25, .3, .5, 2/3])
numberings = st.dictionaries(st.sampled_from(['A', 'B', 'del']), st.sets(st.integers(0, 3000), min_size=1, max_size=80), min_size=1)


def frames(numbering): return [Path(sign)/f'{sign}{number}.jpg' for sign, numbers in numbering.items() for number in numbers]


def sides(split, files):
    "Training and validation frames; None where the splitter refuses, as it says it does"
    try: train, valid = split(files)
    except ValueError as e:
        assert 'too short' in str(e)
        return None
    return [files[i] for i in train], [files[i] for i in valid]


@given(numberings, shares, stretches, gaps, st.randoms())
def test_no_two_frames_within_the_gap_on_different_sides(numbering, share, stretch, gap, random):
    files = frames(numbering)
    random.shuffle(files)
    if not (found := sides(film_splitter(share, stretch, gap), files)): return
    train, valid = found
    assert train and valid and not set(train) & set(valid)
    for sign in numbering:
        seen, kept = (np.array([number_of(f) for f in side if sign_of(f) == sign]) for side in (train, valid))
        if len(seen) and len(kept): assert np.abs(seen[:, None] - kept).min() > gap


@given(numberings, shares, stretches, gaps, st.randoms())
def test_the_same_frames_are_kept_in_any_order_and_with_any_missing(numbering, share, stretch, gap, random):
    files = frames(numbering)
    some = random.sample(files, random.randint(1, len(files)))
    everything, part = (sides(film_splitter(share, stretch, gap), of) for of in (files, some))
    if everything and part: assert set(part[1]) == set(everything[1]) & set(some)


@given(shares, st.integers(1, 600), st.integers(1, 4000))
def test_the_share_is_right_within_one_stretch(share, stretch, frames):
    kept = sum(is_held_out(number, share, stretch) for number in range(1, frames + 1))
    assert abs(kept - share*frames) <= stretch


@given(numberings, st.integers(1, 5))
def test_frames_that_are_left_out_lie_in_the_gap(numbering, gap):
    files = frames(numbering)
    if not (found := sides(film_splitter(stretch=100, gap=gap), files)): return
    train, valid = found
    for file in set(files) - set(train) - set(valid):
        assert min(abs(number_of(file) - number_of(f)) for f in valid if sign_of(f) == sign_of(file)) <= gap


def test_kaggles_film_is_split_at_its_cuts():
    files = frames({'A': range(1, 3001), 'space': range(1, 3001)})
    train, valid = sides(film_splitter(), files)
    assert {number_of(f) for f in valid} == {*range(TAKES[2][0], TAKES[2][1] + 1)}
    assert len(valid) == 1000 and len(train) == 2*(3000 - 500 - 200)


@pytest.mark.parametrize('take', TAKES)
def test_each_take_can_be_kept(take):
    files = frames({'A': range(1, 3001, 7)})
    train, valid = sides(take_splitter(*take), files)
    assert {number_of(f) for f in valid} == {number_of(f) for f in files if take[0] <= number_of(f) <= take[1]}


@given(st.integers(6, 2500))
def test_any_film_is_long_enough_for_its_lengths(longest):
    assert sides(film_splitter(), frames({'A': range(1, longest + 1)}))


@pytest.mark.parametrize('numbers', [[1, 2, 3], [2100], [2100, 2101]])
def test_a_film_without_two_sides_is_refused(numbers):
    assert sides(film_splitter(stretch=500), frames({'A': numbers})) is None


def photograph(folder, sign, number, background, hand):
    picture = Image.new('RGB', (150, 200), background)
    picture.paste(hand, (50, 60, 100, 150))
    (folder/sign).mkdir(exist_ok=True)
    picture.save(folder/sign/f'{sign}{number:04}_test.png')
    return folder/sign/f'{sign}{number:04}_test.png'


def test_scenes_follow_the_background_and_not_the_hand(tmp_path):
    grey, green, skin, dark = (128, 128, 128), (40, 160, 40), (220, 180, 150), (90, 60, 50)
    shots = [('A', 1, grey, skin), ('A', 2, grey, dark), ('A', 3, green, dark), ('A', 4, grey, skin), ('B', 1, grey, skin)]
    files = [photograph(tmp_path, *shot) for shot in shots]
    assert scenes(files) == [0, 0, 1, 2, 3]
    assert scenes(files[::-1])[::-1] == [1, 1, 2, 3, 0]  # whoever comes first begins the count
    assert scenes(files, change=1) == [0, 0, 0, 0, 1] and scenes([]) == []
