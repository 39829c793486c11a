"""Hands that become other hands, and pictures that are bent along"""
import math
import numpy as np
import pytest
import torch
from fastai.vision.all import TensorImage
from asl_signs.train.augment import is_points
from asl_signs.train.joint_augment import OtherHand, grid, origins, other_bones, other_joints, turned, with_middles
from asl_signs.core.signs import SIGNS

SIGN = {sign: i for i, sign in enumerate(SIGNS)}


def hands(n=8, side=.5):
    "Hands with fingers straight up, and a little depth"
    points = torch.zeros(n, 21, 3)
    for finger in range(5):
        for joint in range(4): points[:, 1 + 4*finger + joint] = torch.tensor([side*(.4 - .2*finger), -side*(.4 + .2*joint), .01*joint])
    return points


def signs(sign, n=8): return torch.full((n,), SIGN[sign])


@pytest.fixture(autouse=True)
def seeded(): torch.manual_seed(0)


def gap(points, a, b): return (points[:, a, :2] - points[:, b, :2]).norm(dim=1)


def test_fingers_of_v_go_apart_and_those_of_u_do_not():
    points, still = hands(), dict(degrees=(0, 0), width=0, lengths=0)
    v, u = (other_joints(points, signs(sign), apart=(10, 10), **still) for sign in 'VU')
    assert (gap(v, 8, 12) > gap(points, 8, 12) + .05).all()
    torch.testing.assert_close(u, points[..., :2], atol=1e-5, rtol=0)


def test_only_hanging_fingers_are_tucked_in():
    bones = {sign: other_bones(hands(400), signs(sign, 400), lengths=0, tucked=.4) for sign in 'NB'}
    assert (bones['B'] == 1).all() and (bones['N'][:, :4] == 1).all() and (bones['N'][:, 4] == 1).all()
    shorter = bones['N'][:, 5] < 1
    assert .5 < shorter.float().mean() < .7 and bones['N'].min() >= .4
    assert (bones['N'][:, 5] == bones['N'][:, 19]).all() # all four of them as much


def test_what_is_turned_to_the_side_looks_slimmer():
    points = hands(200)
    assert gap(turned(points, (0, 60), 0), 5, 17).mean() < .95*gap(points, 5, 17).mean()
    torch.testing.assert_close(turned(points, (0, 0), 0), points[..., :2], atol=1e-5, rtol=0)


def test_a_wider_hand_keeps_its_height():
    points = hands(200)
    wider = turned(points, (0, 0), .5)
    widths = gap(wider, 5, 17)/gap(points, 5, 17)
    assert widths.min() < .8 and widths.max() > 1.3 and math.exp(-.51) < widths.min() and widths.max() < math.exp(.51)
    torch.testing.assert_close(wider[..., 1] - wider[:, :1, 1], points[..., 1] - points[:, :1, 1], atol=1e-5, rtol=0)


def test_pixels_go_where_their_joint_goes():
    points = hands(1)
    moved = points[..., :2].clone()
    moved[:, 8] += torch.tensor([-.2, 0])
    x, y = ((moved[0, 8] + 1)/2*96).long()
    assert origins(points[..., :2], moved, (96, 96))[0, y, x, 0] > grid(96, 96)[y, x, 0] + .05
    far = origins(points[..., :2], moved, (96, 96))[0, 95, 0]
    torch.testing.assert_close(far, grid(96, 96)[95, 0], atol=1e-3, rtol=0)


def test_pictures_that_are_not_square():
    assert origins(hands(2)[..., :2], hands(2)[..., :2], (48, 64)).shape == (2, 48, 64, 2)
    assert grid(2, 4)[0, :, 0].tolist() == pytest.approx([-.75, -.25, .25, .75]) and grid(2, 4)[:, 0, 1].tolist() == pytest.approx([-.5, .5])


def test_middles_of_bones():
    points = hands(1)[..., :2]
    assert with_middles(points).shape == (1, 41, 2)
    torch.testing.assert_close(with_middles(points)[0, 21 + 7], (points[0, 7] + points[0, 8])/2)


def test_a_batch_keeps_its_parts_and_what_was_given_stays_as_it_is():
    pictures, points = TensorImage(torch.rand(8, 4, 48, 48)), hands()
    given, coarse = pictures.clone(), torch.ones(8, dtype=torch.bool)
    points[3] = torch.nan
    seen, flat, same, sign = OtherHand(1)((pictures, points, coarse, signs('V')), split_idx=0)
    assert type(seen) is TensorImage and same is coarse or torch.equal(same, coarse)
    assert seen.shape == pictures.shape and flat.shape == (8, 21, 2) and flat[3].isnan().all() and is_points(flat)
    assert torch.equal(seen[3], pictures[3]) and not torch.equal(seen[0], pictures[0]) and torch.equal(pictures, given)


def test_nothing_is_done_in_validation_nor_with_no_chance():
    batch = TensorImage(torch.rand(8, 3, 48, 48)), hands(), signs('V')
    for seen, flat, _ in (OtherHand(1)(batch, split_idx=1), OtherHand(0)(batch, split_idx=0)):
        assert torch.equal(seen, batch[0]) and torch.equal(flat, batch[1][..., :2])


def test_joints_that_all_fall_together():
    batch = TensorImage(torch.rand(2, 3, 48, 48)), torch.zeros(2, 21, 3), signs('V', 2)
    assert np.isfinite(OtherHand(1)(batch, split_idx=0)[0].numpy()).all()
