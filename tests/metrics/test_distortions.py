"Distortions and accuracies, on cases worked by hand"
import matplotlib
matplotlib.use('Agg')
import numpy as np
import pytest
from PIL import Image
from asl_signs.metrics.distortions import (DISTORTIONS, compressed, darkened, distorted_accuracy, elsewhere, mirrored,
                                           moved, plot_distorted)
from asl_signs.core.signs import SIGNS

SIZES = (96, 96), (61, 40), (17, 90), (3, 2), (1, 5), (1, 1)
EACH = [(name, strength) for name, (_, strengths, _) in DISTORTIONS.items() for strength in strengths]


def noise(size, seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), np.uint8))


def disc(size=(80, 60), colour=(150, 90, 70), wall=(190, 195, 190)):
    "A disc before a wall, and where it is"
    y, x = np.mgrid[:size[1], :size[0]]
    on = (x - .5*size[0])**2 + (y - .6*size[1])**2 < (.22*min(size))**2
    return Image.fromarray(np.where(on[..., None], np.uint8(colour), np.uint8(wall))), on


@pytest.mark.parametrize('name,strength', EACH)
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
    turned = [np.int16(p) for p in (moved(square, degrees=90), square.transpose(Image.Transpose.ROTATE_90))]
    assert abs(turned[0] - turned[1]).max() <= 1


def test_moving_repeats_the_edge():
    row = Image.fromarray(np.uint8([[[10]*3, [20]*3, [30]*3, [40]*3]]))
    assert np.asarray(moved(row, right=.25))[0, :, 0].tolist() == [10, 10, 20, 30]
    assert np.asarray(moved(row, right=-.5))[0, :, 0].tolist() == [30, 40, 40, 40]


def test_what_lies_beyond_the_edge_is_wall_and_not_frame():
    framed = np.full((96, 96, 3), 200, np.uint8)
    framed[[0, 1, -2, -1]] = framed[:, [0, 1, -2, -1]] = 0, 0, 150
    smaller = np.asarray(moved(Image.fromarray(framed), factor=.5))
    assert (smaller[:20] == 200).all() and (smaller[:, 76:] == 200).all()
    assert (smaller[25:71, 23:25, 0] < 200).any() # the frame itself is a part of the picture


def test_a_constant_picture_stays_constant_wherever_it_is_moved():
    plain = Image.new('RGB', (30, 20), (9, 99, 199))
    for way in ((33,), (0, .1), (0, 7), (0, 1, 3), (45, .3, -.4)):
        assert moved(plain, *way).tobytes() == plain.tobytes()


def test_mirroring_twice_is_nothing():
    assert mirrored(mirrored(noise((7, 4)))) == noise((7, 4))
    assert np.asarray(mirrored(noise((7, 4))))[:, 0].tolist() == np.asarray(noise((7, 4)))[:, -1].tolist()


def test_half_the_light_is_half_the_mean():
    light = np.asarray(noise((50, 50))).mean()
    assert np.asarray(darkened(noise((50, 50)), .5)).mean() == pytest.approx(light/2, abs=.5)
    assert not np.asarray(darkened(noise((5, 5)), 0)).any()


def test_low_quality_changes_more():
    given = disc()[0]
    off = [np.abs(np.int16(compressed(given, quality)) - np.int16(given)).mean() for quality in (5, 50, 95)]
    assert off[0] > off[1] > off[2]


def test_another_place_comes_from_its_seed():
    assert elsewhere(disc()[0], seed=1) == elsewhere(disc()[0], seed=1) != elsewhere(disc()[0], seed=2)


# Accuracies: a picture's red says which sign the reader below will read.

@pytest.fixture
def files(tmp_path):
    "Six pictures: three of A, two of B, one of del; one of A looks like B"
    made = []
    for name, colour in dict(A1='A', A2='A', A3='B', B1='B', B2='B', del1='del').items():
        file = tmp_path/name[:-1]/f'{name}.png'
        file.parent.mkdir(exist_ok=True)
        Image.new('RGB', (6, 4), (8*SIGNS.index(colour) + 4, 0, 0)).save(file)
        made.append(file)
    return made


def by_red(pictures): return np.eye(29)[[min(picture.getpixel((0, 0))[0]//8, 28) for picture in pictures]]


def test_accuracies_counted_by_hand(files):
    def redder(picture, strength): return picture.point(lambda value: value + 8*strength) if strength else picture
    two = {'redder': (redder, (0, 1, 26), 'signs'), 'mirror': (mirrored, (0, 1), '')}
    table = distorted_accuracy(by_red, files, two)
    assert list(table.columns) == ['distortion', 'strength', 'right', 'of', 'accuracy']
    assert table.distortion.tolist() == ['none'] + ['redder']*3 + ['mirror']*2
    assert table.strength.tolist() == [0, 0, 1, 26, 0, 1]
    assert table.right.tolist() == [5, 5, 0, 0, 5, 5] and set(table.of) == {6}
    assert table.accuracy.tolist() == [n/6 for n in (5, 5, 0, 0, 5, 5)]


def test_what_is_not_distorted_is_read_once(files):
    calls = []
    distorted_accuracy(lambda pictures: calls.append(len(pictures)) or by_red(pictures), files)
    some = sum(len(all_of) - 1 for _, all_of, _ in DISTORTIONS.values())
    assert calls == [6]*(1 + some)


@pytest.mark.parametrize('chunk', [1, 4, 6, 100])
def test_chunks_change_nothing_and_seeds_follow_the_place(files, chunk):
    seeds, sizes = [], []
    def seeded(picture, strength, seed=0):
        seeds.append(seed)
        return picture.copy()
    def read(pictures): return sizes.append(len(pictures)) or by_red(pictures)
    table = distorted_accuracy(read, files, {'seeded': (seeded, (1,), '')}, chunk)
    assert table.right.tolist() == [5, 5] and seeds == [*range(6)] and max(sizes) <= chunk


def test_nan_is_not_read(files):
    def no_hand_in_the_first(pictures): return np.vstack([np.full((1, 29), np.nan), by_red(pictures)[1:]])
    assert distorted_accuracy(no_hand_in_the_first, files, {}).right.tolist() == [4]
    never = distorted_accuracy(lambda pictures: np.full((len(pictures), 29), np.nan), files, {})
    assert (never.right.tolist(), never.accuracy.tolist()) == ([0], [0])


def test_no_pictures_are_refused():
    with pytest.raises(ValueError, match='no pictures'): distorted_accuracy(by_red, [])


def test_a_reader_that_returns_something_else_is_refused(files):
    with pytest.raises(ValueError, match=r'\(6, 28\) do not fit 6 pictures'):
        distorted_accuracy(lambda pictures: by_red(pictures)[:, 1:], files)
    with pytest.raises(ValueError, match='type str cannot'): distorted_accuracy('model.pkl', files)


def test_a_file_without_a_sign_is_refused_before_anything_is_read(files, tmp_path):
    with pytest.raises(ValueError, match='no sign'):
        distorted_accuracy(lambda pictures: 1/0, [*files, tmp_path/'holiday.png'])


def test_a_panel_for_each_distortion_and_a_line_for_each_table(files):
    table = distorted_accuracy(by_red, files)
    figure = plot_distorted({'one': table, 'other': table[table.distortion.isin(['none', 'blur'])]}, 'both')
    panels = {axes.get_title(): axes for axes in figure.axes if axes.axison}
    assert [*panels] == [*DISTORTIONS] and figure.get_suptitle() == 'both'
    solid = [line for line in panels['blur'].lines if line.get_linestyle() == '-' and len(line.get_xdata()) > 0]
    assert len(solid) == 2
    assert len(plot_distorted(table[table.distortion.isin(['none', 'blur'])]).axes[0].lines) == 2
