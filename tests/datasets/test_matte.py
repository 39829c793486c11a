"Mattes and backgrounds, on cases worked by hand"
import numpy as np
import pytest
from PIL import Image
from asl_signs.datasets.matte import draw_background, matte, replace_background
from test_distortions import SIZES, disc, noise


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
