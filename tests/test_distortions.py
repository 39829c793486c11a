"Distortions, mattes and accuracies, on cases worked by hand"
import matplotlib
matplotlib.use('Agg')
import numpy as np
import pytest
from PIL import Image
from asl_signs.metrics import distortions
from asl_signs.metrics.distortions import (DISTORTIONS, compressed, darkened, distorted_accuracy, draw_background, elsewhere, matte, mirrored,
                                   moved, plot_distorted, replace_background, rotated, scaled, shifted)
from asl_signs.core.signs import SIGNS

SIZES = (96, 96), (61, 40), (17, 90), (3, 2), (1, 5), (1, 1)
strengths = pytest.mark.parametrize('name,strength', [(name, s) for name, (_, all_of, _) in DISTORTIONS.items() for s in all_of])


def noise(size, seed=0): return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), np.uint8))


def disc(size=(80, 60), colour=(150, 90, 70), wall=(190, 195, 190)):
    "A disc before a wall, and where it is"
    y, x = np.mgrid[:size[1], :size[0]]
    on = (x - .5*size[0])**2 + (y - .6*size[1])**2 < (.22*min(size))**2
    return Image.fromarray(np.where(on[..., None], np.uint8(colour), np.uint8(wall))), on


@strengths
@pytest.mark.parametrize('size', SIZES)
def test_size_and_mode_stay(name, strength, size):
    given = noise(size)
    before = given.tobytes()
    distorted = DISTORTIONS[name][0](given, strength)
    assert (distorted.size, distorted.mode) == (size, 'RGB')
    assert given.tobytes() == before


@pytest.mark.parametrize('name', DISTORTIONS)
def test_the_first_strength_is_none_and_the_others_are_some(name):
    function, (none, *some), _ = DISTORTIONS[name]
    given = noise((48, 48))
    assert function(given, none) is given
    assert some and all(function(given, strength) != given for strength in some)


def test_turning_is_counter_clockwise():
    square = noise((21, 21))
    turned = [np.int16(p) for p in (rotated(square, 90), square.transpose(Image.Transpose.ROTATE_90))]
    assert abs(turned[0] - turned[1]).max() <= 1


def test_moving_repeats_the_edge():
    row = Image.fromarray(np.uint8([[[10]*3, [20]*3, [30]*3, [40]*3]]))
    assert np.asarray(shifted(row, .25))[0, :, 0].tolist() == [10, 10, 20, 30]
    assert np.asarray(shifted(row, -.5))[0, :, 0].tolist() == [30, 40, 40, 40]


def test_what_lies_beyond_the_edge_is_wall_and_not_frame():
    framed = np.full((96, 96, 3), 200, np.uint8)
    framed[[0, 1, -2, -1]] = framed[:, [0, 1, -2, -1]] = 0, 0, 150
    smaller = np.asarray(scaled(Image.fromarray(framed), .5))
    assert (smaller[:20] == 200).all() and (smaller[:, 76:] == 200).all()
    assert (smaller[25:71, 23:25, 0] < 200).any() # the frame itself is a part of the picture


def test_a_constant_picture_stays_constant_wherever_it_is_moved():
    plain = Image.new('RGB', (30, 20), (9, 99, 199))
    for picture in (rotated(plain, 33), scaled(plain, .1), scaled(plain, 7), shifted(plain, 3), moved(plain, 45, .3, -.4)):
        assert picture.tobytes() == plain.tobytes()


def test_mirroring_twice_is_nothing():
    assert mirrored(mirrored(noise((7, 4)))) == noise((7, 4))
    assert np.asarray(mirrored(noise((7, 4))))[:, 0].tolist() == np.asarray(noise((7, 4)))[:, -1].tolist()


def test_half_the_light_is_half_the_mean():
    assert np.asarray(darkened(noise((50, 50)), .5)).mean() == pytest.approx(np.asarray(noise((50, 50))).mean()/2, abs=.5)
    assert not np.asarray(darkened(noise((5, 5)), 0)).any()


def test_low_quality_changes_more():
    given = disc()[0]
    off = [np.abs(np.int16(compressed(given, quality)) - np.int16(given)).mean() for quality in (5, 50, 95)]
    assert off[0] > off[1] > off[2]


@pytest.mark.parametrize('wall', [(190, 195, 190), (40, 40, 40), (255, 255, 255), (120, 60, 30)])
def test_a_flat_wall_is_no_hand(wall): assert matte(Image.new('RGB', (64, 48), wall)).max() < .05


@pytest.mark.parametrize('colour', [(150, 90, 70), (30, 20, 20), (240, 170, 150), (60, 60, 220)])
@pytest.mark.parametrize('size', [(96, 96), (80, 60), (200, 200), (40, 64)])
def test_a_disc_is_found(colour, size):
    picture, on = disc(size, colour)
    found = matte(picture)
    assert found.shape == size[::-1] and found.dtype == np.float32 and 0 <= found.min() <= found.max() <= 1
    assert found[on].mean() > .93 and found[~on].mean() < .07


def test_a_disc_is_found_before_a_wall_with_light_from_one_side():
    picture, on = disc((96, 96))
    lit = np.where(on[..., None], np.asarray(picture), np.asarray(picture)*np.linspace(.6, 1.2, 96)[:, None])
    found = matte(Image.fromarray(np.uint8(lit.clip(0, 255))))
    assert found[on].mean() > .9 and found[~on].mean() < .1


@pytest.mark.parametrize('size', SIZES)
def test_mattes_of_anything_are_mattes(size):
    found = matte(noise(size))
    assert found.shape == size[::-1] and np.isfinite(found).all() and 0 <= found.min() <= found.max() <= 1


def test_the_disc_stays_and_the_wall_goes():
    picture, on = disc()
    replaced = np.int16(replace_background(picture, Image.new('RGB', (10, 10), (255, 0, 0))))
    off = np.abs(replaced - np.int16(picture)).mean(-1)
    assert off[on].mean() < 6 and off[~on].mean() > 90
    assert (replaced[0, 0] == (255, 0, 0)).all()


def test_backgrounds_come_from_their_seed():
    assert draw_background((31, 17), 5) == draw_background((31, 17), 5)
    drawn = {draw_background((31, 17), seed).tobytes() for seed in range(40)}
    assert len(drawn) == 40
    assert elsewhere(disc()[0], seed=1) == elsewhere(disc()[0], seed=1) != elsewhere(disc()[0], seed=2)


# Accuracies: a picture's red says which sign the reader below will read.

@pytest.fixture
def files(tmp_path):
    "Six pictures: three of A, two of B, one of del; one of A looks like B"
    made = []
    for sign, number, looks in (('A', 1, 'A'), ('A', 2, 'A'), ('A', 3, 'B'), ('B', 1, 'B'), ('B', 2, 'B'), ('del', 1, 'del')):
        file = tmp_path/sign/f'{sign}{number}.png'
        file.parent.mkdir(exist_ok=True)
        Image.new('RGB', (6, 4), (8*SIGNS.index(looks) + 4, 0, 0)).save(file)
        made.append(file)
    return made


def by_red(pictures): return np.eye(29)[[min(picture.getpixel((0, 0))[0]//8, 28) for picture in pictures]]


def test_accuracies_counted_by_hand(files):
    redder = lambda picture, strength: picture if not strength else picture.point(lambda value: value + 8*strength)
    table = distorted_accuracy(by_red, files, {'redder': (redder, (0, 1, 26), 'signs'), 'mirror': (mirrored, (0, 1), '')})
    assert list(table.columns) == ['distortion', 'strength', 'right', 'of', 'accuracy']
    assert [*zip(table.distortion, table.strength)] == [('none', 0), ('redder', 0), ('redder', 1), ('redder', 26), ('mirror', 0), ('mirror', 1)]
    assert table.right.tolist() == [5, 5, 0, 0, 5, 5] and set(table.of) == {6}
    assert table.accuracy.tolist() == [n/6 for n in (5, 5, 0, 0, 5, 5)]


def test_what_is_not_distorted_is_read_once(files):
    calls = []
    distorted_accuracy(lambda pictures: calls.append(len(pictures)) or by_red(pictures), files)
    some = sum(len(all_of) - 1 for _, all_of, _ in DISTORTIONS.values())
    assert calls == [6]*(1 + some)


@pytest.mark.parametrize('chunk', [1, 4, 6, 100])
def test_chunks_change_nothing_and_seeds_follow_the_place(files, chunk, monkeypatch):
    monkeypatch.setattr(distortions, 'CHUNK', chunk)
    seeds, sizes = [], []
    def seeded(picture, strength, seed=0):
        seeds.append(seed)
        return picture.copy()
    def read(pictures): return sizes.append(len(pictures)) or by_red(pictures)
    table = distorted_accuracy(read, files, {'seeded': (seeded, (1,), '')})
    assert table.right.tolist() == [5, 5] and seeds == [*range(6)] and max(sizes) <= chunk


def test_nan_is_not_read(files):
    def no_hand_in_the_first(pictures): return np.vstack([np.full((1, 29), np.nan), by_red(pictures)[1:]])
    assert distorted_accuracy(no_hand_in_the_first, files, {}).right.tolist() == [4]
    never = distorted_accuracy(lambda pictures: np.full((len(pictures), 29), np.nan), files, {})
    assert (never.right.tolist(), never.accuracy.tolist()) == ([0], [0])


def test_no_pictures_are_refused():
    with pytest.raises(ValueError, match='no pictures'): distorted_accuracy(by_red, [])


def test_a_reader_that_returns_something_else_is_refused(files):
    with pytest.raises(ValueError, match=r'6 pictures.*\(6, 28\)'): distorted_accuracy(lambda pictures: by_red(pictures)[:, 1:], files)


def test_a_file_without_a_sign_is_refused_before_anything_is_read(files, tmp_path):
    with pytest.raises(ValueError, match='no sign'): distorted_accuracy(lambda pictures: 1/0, [*files, tmp_path/'holiday.png'])


def test_a_panel_for_each_distortion_and_a_line_for_each_table(files):
    table = distorted_accuracy(by_red, files)
    figure = plot_distorted({'one': table, 'other': table[table.distortion.isin(['none', 'blur'])]}, 'both')
    panels = {axes.get_title(): axes for axes in figure.axes if axes.axison}
    assert [*panels] == [*DISTORTIONS] and figure.get_suptitle() == 'both'
    solid = {name: [line for line in axes.lines if line.get_linestyle() == '-' and len(line.get_xdata()) > 0] for name, axes in panels.items()}
    assert len(solid['blur']) == 2
    assert len(plot_distorted(table[table.distortion.isin(['none', 'blur'])]).axes[0].lines) == 2
