"Splits of any film, and scenes of any photographs"
from pathlib import Path
import numpy as np
import pytest
from hypothesis import given, strategies as st
from PIL import Image
from asl_signs.datasets.film import TAKES, FilmError, every_sign, film_splitter, is_held_out, scenes
from asl_signs.core.signs import number_of, sign_of

stretches, gaps, shares = st.integers(1, 600), st.integers(0, 120), st.sampled_from([.1, .2, .25, .3, .5, 2/3])
numbers = st.sets(st.integers(0, 3000), min_size=1, max_size=80)
numberings = st.dictionaries(st.sampled_from(['A', 'B', 'del']), numbers, min_size=1)


def frames(numbering):
    return [Path(sign)/f'{sign}{number}.jpg' for sign, numbers in numbering.items() for number in numbers]


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


def by_the_rule(files, share, stretch, gap):
    "What the rule for numbers keeps and trains on; None if that leaves a sign out of a side"
    held = {f for f in files if is_held_out(number_of(f), share, stretch)}
    near = {f for f in files if any(sign_of(f) == sign_of(h) and abs(number_of(f) - number_of(h)) <= gap for h in held)}
    sides = held, {*files} - near
    return sides if all({*map(sign_of, side)} == {*map(sign_of, files)} for side in sides) else None


@given(numberings, shares, stretches, gaps, st.randoms())
def test_frames_in_any_order_are_split_by_number_where_that_serves_every_sign(numbering, share, stretch, gap, random):
    files = frames(numbering)
    random.shuffle(files)
    if not (expected := by_the_rule(files, share, stretch, gap)): return
    train, valid = sides(film_splitter(share, stretch, gap), files)
    assert ({*valid}, {*train}) == expected


@given(numberings, shares, st.none() | stretches, st.none() | gaps)
def test_every_sign_is_on_both_sides_or_it_is_named(numbering, share, stretch, gap):
    files = frames(numbering)
    try: train, valid = film_splitter(share, stretch, gap)(files)
    except FilmError as e: assert any(f' {sign}' in str(e) for sign in numbering) and "split='random'" in str(e)
    else:
        for side in (train, valid): assert {sign_of(files[i]) for i in side} == {*numbering}


@pytest.mark.parametrize('name', ['IMG_{:04}', 'WIN_20261125_18_{:02}_00_Pro', '{}', 'hand (copy {})'])
def test_a_camera_that_numbers_on_from_sign_to_sign(name):
    signs = enumerate('ABCDEFGHIJKLMNOPQRSTUV')
    files = [Path(sign)/f'{name.format(20*i + n)}.jpg' for i, sign in signs for n in range(1, 21)]
    train, valid = sides(film_splitter(), files)
    for side, least in ((train, 14), (valid, 3)):
        assert min(sum(sign_of(f) == sign for f in side) for sign in 'ABCDEFGHIJKLMNOPQRSTUV') >= least


@pytest.mark.parametrize('names', [['9f8e', '0ab1', '77cd', '1e5', '21a', 'bb9'],
                                   ['cat', 'dog', 'cow', 'hen', 'pig', 'owl'],
                                   ['3f2504e0-4f89', '6ba7b810-9dad', '00a0c91e-6bf6', '1e2504e0-0000', '2-a', '3-b']])
def test_names_that_are_no_numbers_are_refused_and_not_split_at_random(names):
    files = [Path('A')/f'{name}.jpg' for name in names]
    with pytest.raises(FilmError, match='pictures of A are not numbered') as error: film_splitter()(files)
    assert sum(f'{name}.jpg' in str(error.value) for name in names) == 3 and "split='random'" in str(error.value)


def test_signs_with_too_few_pictures_are_named():
    files = frames({'A': range(1, 41), 'B': [1, 2, 3], 'del': [7]})
    with pytest.raises(FilmError, match='never kept for validation would be B, del'): film_splitter()(files)
    lonely = frames({'A': range(1, 41), 'B': [1]})
    split = every_sign(lambda files: ([*range(40)], [40]))
    with pytest.raises(FilmError, match='never trained on would be B'): split(lonely)


@given(shares, st.integers(1, 600), st.integers(1, 4000))
def test_the_share_is_right_within_one_stretch(share, stretch, frames):
    kept = sum(is_held_out(number, share, stretch) for number in range(1, frames + 1))
    assert abs(kept - share*frames) <= stretch


@given(numberings, st.integers(1, 5))
def test_frames_that_are_left_out_lie_in_the_gap(numbering, gap):
    files = frames(numbering)
    if not by_the_rule(files, .2, 100, gap): return
    train, valid = sides(film_splitter(stretch=100, gap=gap), files)
    for file in set(files) - set(train) - set(valid):
        assert min(abs(number_of(file) - number_of(f)) for f in valid if sign_of(f) == sign_of(file)) <= gap


def test_kaggles_film_is_split_at_its_cuts():
    files = frames({'A': range(1, 3001), 'space': range(1, 3001)})
    train, valid = sides(film_splitter(), files)
    assert {number_of(f) for f in valid} == {*range(TAKES[2][0], TAKES[2][1] + 1)}
    assert len(valid) == 1000 and len(train) == 2*(3000 - 500 - 200)


@pytest.mark.parametrize('stretch', [50, 100, 600])
def test_the_gap_is_a_fifth_of_the_stretch_that_was_asked_for(stretch):
    files = frames({'A': range(1, 3001)})
    assert sides(film_splitter(stretch=stretch), files) == sides(film_splitter(stretch=stretch, gap=stretch//5), files)


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
    shots = [('A', 1, grey, skin), ('A', 2, grey, dark), ('A', 3, green, dark), ('A', 4, grey, skin),
             ('B', 1, grey, skin)]
    files = [photograph(tmp_path, *shot) for shot in shots]
    assert scenes(files) == [0, 0, 1, 2, 3]
    assert scenes(files[::-1])[::-1] == [1, 1, 2, 3, 0]  # whoever comes first begins the count
    assert scenes(files, change=1) == [0, 0, 0, 0, 1] and scenes([]) == []
