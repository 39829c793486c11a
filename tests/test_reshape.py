"Hands that become other hands, and pictures that are warped along"
import math
import pytest
import torch
from fastai.vision.all import TensorImage
from torch.nn.functional import affine_grid
from asl_signs.train.joint_augment import RandomHandWarp, random_landmarks, warp_grid
from asl_signs.core.signs import SIGNS

SIGN = {sign: i for i, sign in enumerate(SIGNS)}
STILL = dict(apart=(0, 0), degrees=(0, 0), width=0, lengths=0, tucked=1)


def hands(n=8, side=.5):
    "Hands with fingers straight up, and a little depth"
    points = torch.zeros(n, 21, 3)
    for finger in range(5):
        for joint in range(4):
            points[:, 1 + 4*finger + joint] = torch.tensor([side*(.4 - .2*finger), -side*(.4 + .2*joint), .01*joint])
    return points


def signs(sign, n=8): return torch.full((n,), SIGN[sign])


@pytest.fixture(autouse=True)
def seeded(): torch.manual_seed(0)


def gap(points, a, b): return (points[:, a, :2] - points[:, b, :2]).norm(dim=1)
def moved(points, sign, **change): return random_landmarks(points, signs(sign, len(points)), **STILL | change)


def test_without_a_change_hands_stay():
    torch.testing.assert_close(moved(hands(), 'V'), hands()[..., :2], atol=1e-5, rtol=0)


def test_fingers_of_v_go_apart_and_those_of_u_do_not():
    points = hands()
    v, u = (moved(points, sign, apart=(10, 10)) for sign in 'VU')
    assert (gap(v, 8, 12) > gap(points, 8, 12) + .05).all()
    torch.testing.assert_close(u, points[..., :2], atol=1e-5, rtol=0)


def test_only_hanging_fingers_are_tucked_in():
    points = hands(400)
    n, b = (moved(points, sign, tucked=.4) for sign in 'NB')
    torch.testing.assert_close(b, points[..., :2], atol=1e-5, rtol=0)
    bones = gap(n, 5, 6)/gap(points, 5, 6)
    assert .5 < (bones < .99).float().mean() < .7 and bones.min() >= .399
    torch.testing.assert_close(bones, gap(n, 19, 20)/gap(points, 19, 20), atol=1e-3, rtol=0) # all four of them as much
    torch.testing.assert_close(n[:, :5], points[:, :5, :2], atol=1e-5, rtol=0) # the thumb stays


def test_what_is_turned_to_the_side_looks_slimmer():
    points = hands(200)
    assert gap(moved(points, 'B', degrees=(0, 60)), 5, 17).mean() < .95*gap(points, 5, 17).mean()


def test_a_wider_hand_keeps_its_height():
    points = hands(200)
    wider = moved(points, 'B', width=.5)
    widths = gap(wider, 5, 17)/gap(points, 5, 17)
    assert widths.min() < .8 and widths.max() > 1.3 and math.exp(-.51) < widths.min() and widths.max() < math.exp(.51)
    heights = points[..., 1] - points[:, :1, 1]
    torch.testing.assert_close(wider[..., 1] - wider[:, :1, 1], heights, atol=1e-5, rtol=0)


def test_pixels_go_where_their_landmark_goes():
    points = hands(1)[..., :2]
    away = points.clone()
    away[:, 8] += torch.tensor([-.2, 0])
    (x, y), still = ((away[0, 8] + 1)/2*96).long(), warp_grid(points, points, (96, 96))
    grid = warp_grid(points, away, (96, 96))
    assert grid[0, y, x, 0] > still[0, y, x, 0] + .05
    torch.testing.assert_close(grid[0, 95, 0], still[0, 95, 0], atol=1e-3, rtol=0) # far off


def test_pictures_that_are_not_square():
    points = hands(2)[..., :2]
    plain = affine_grid(torch.eye(2, 3).expand(2, -1, -1), (2, 1, 48, 64), align_corners=False)
    torch.testing.assert_close(warp_grid(points, points, (48, 64)), plain)


def test_a_batch_keeps_its_parts_and_what_was_given_stays_as_it_is():
    pictures, points = TensorImage(torch.rand(8, 4, 48, 48)), hands()
    given, coarse = pictures.clone(), torch.ones(8, dtype=torch.bool)
    points[3] = torch.nan
    seen, flat, same, sign = RandomHandWarp(1)((pictures, points, coarse, signs('V')), split_idx=0)
    assert type(seen) is TensorImage and torch.equal(same, coarse) and torch.equal(sign, signs('V'))
    assert seen.shape == pictures.shape and flat.shape == (8, 21, 2) and flat[3].isnan().all()
    assert torch.equal(seen[3], pictures[3]) and not torch.equal(seen[0], pictures[0]) and torch.equal(pictures, given)


def test_a_matte_is_warped_like_its_picture():
    pictures = TensorImage(torch.rand(8, 1, 48, 48).expand(-1, 4, -1, -1))
    seen = RandomHandWarp(1)((pictures, hands(), signs('V')), split_idx=0)[0]
    assert torch.equal(seen[:, 0], seen[:, 3]) and not torch.equal(seen, pictures)


def test_the_seed_decides():
    batch = TensorImage(torch.rand(8, 3, 48, 48)), hands(), signs('V')
    def made(seed):
        torch.manual_seed(seed)
        return RandomHandWarp()(batch, split_idx=0)
    for part, same in zip(made(1), made(1)): assert torch.equal(part, same)
    assert not torch.equal(made(1)[1], made(2)[1])


def test_nothing_is_done_in_validation_nor_with_no_chance():
    batch = TensorImage(torch.rand(8, 3, 48, 48)), hands(), signs('V')
    for seen, flat, _ in (RandomHandWarp(1)(batch, split_idx=1), RandomHandWarp(0)(batch, split_idx=0)):
        assert torch.equal(seen, batch[0]) and torch.equal(flat, batch[1][..., :2])


def test_landmarks_that_all_fall_together():
    batch = TensorImage(torch.rand(2, 3, 48, 48)), torch.zeros(2, 21, 3), signs('V', 2)
    assert RandomHandWarp(1)(batch, split_idx=0)[0].isfinite().all()
