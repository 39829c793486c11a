"The geometry of hands where it is no part of the lesson: invariances, kinds of hands, odd data sets"
import math
from pathlib import Path
import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from asl_signs.models.joints import (LandmarkClassifier, LandmarksDL, distances, features, prior_without_hand,
                                     straightness, train_landmarks)
from asl_signs.runtime.landmarks import Hands, film_hands, to_row
from asl_signs.runtime.fusion import apply_kv_classifier, thumb_offset, either_hand, landmark_log_probs
from asl_signs.core.signs import SIGNS
from asl_signs.train.geometry import (PARENTS, assembled, at_wrist, bones, to_tensor, mirror, palm_axes, rotations,
                                      with_lengths)
from asl_signs.train.landmark_augment import RandomLandmarks, bent, may_spread, spread

HANDS = film_hands()
ALL = torch.cat([to_tensor(hand) for hand in HANDS.values()])
angles = st.floats(-3, 3)
quickly = settings(max_examples=20, deadline=None)


def as_hands(joints=None, copies=1):
    "A `Hands` of one frame for each sign, or of other joints of these"
    numbers = np.stack([to_row(hand, 200) for hand in HANDS.values()])[:, None].repeat(copies, 1)
    if joints is not None: numbers[:, 0, :126] = joints.reshape(28, 126).numpy()
    return Hands([Path(sign)/f'{sign}1.jpg' for sign in HANDS], numbers)


def test_every_joint_hangs_on_one_nearer_to_the_wrist():
    assert PARENTS[0] == 0 and all(PARENTS[joint] < joint for joint in range(1, 21))
    for joint in range(1, 21):
        for _ in range(4): joint = PARENTS[joint]
        assert joint == 0


@quickly
@given(st.floats(.01, 100), st.floats(-1000, 1000))
def test_size_and_place_do_not_matter(size, place):
    torch.testing.assert_close(features(ALL.double()*size + place), features(ALL.double()), rtol=1e-4, atol=1e-4)


@quickly
@given(angles, angles, angles)
def test_rotations_are_rotations(x, y, z):
    turn = rotations(torch.tensor([[x, y, z]], dtype=torch.double))
    torch.testing.assert_close(turn @ turn.mT, torch.eye(3, dtype=torch.double)[None])
    torch.testing.assert_close(torch.linalg.det(turn), torch.ones(1, dtype=torch.double))
    turned = ALL.double() @ turn[:, None].mT
    torch.testing.assert_close(distances(turned), distances(ALL.double()))
    torch.testing.assert_close(straightness(turned), straightness(ALL.double()))


@quickly
@given(st.lists(st.floats(-1.5, 1.5), min_size=15, max_size=15))
def test_bending_keeps_bones_and_the_palm(bend):
    further = bent(ALL.double(), torch.tensor(bend, dtype=torch.double).view(1, 5, 3).expand(28, -1, -1))
    torch.testing.assert_close(bones(further).norm(dim=-1), bones(ALL.double()).norm(dim=-1))
    knuckles = [0, 1, 5, 9, 13, 17]
    torch.testing.assert_close(further[..., knuckles, :], ALL.double()[..., knuckles, :])


def test_a_bend_makes_fingers_less_straight():
    fist = torch.tensor([[0.]*3] + 4*[[1.4, 1.7, 0]])[None]
    b = to_tensor(HANDS['B'])
    straight = [straightness(bent(b, angles))[..., 3:].mean() for angles in (fist, fist/2, fist*0)]
    assert straight == sorted(straight)


def test_bending_back_and_forth_is_nothing():
    there = bent(ALL.double(), torch.full((28, 5, 3), .4, dtype=torch.double))
    torch.testing.assert_close(bent(there, torch.full((28, 5, 3), -.4, dtype=torch.double)), ALL.double())


def test_taken_apart_and_put_together():
    torch.testing.assert_close(assembled(ALL[..., 0, :], bones(ALL)), ALL)
    longer = with_lengths(ALL, torch.linspace(.5, 2, 20).expand(28, -1))
    ratios = bones(longer).norm(dim=-1)/bones(ALL).norm(dim=-1)
    torch.testing.assert_close(ratios, torch.linspace(.5, 2, 20).expand(28, 2, -1))


def test_a_mirror_changes_hands_and_the_palm_looks_the_same_way():
    mirrored = mirror(ALL, torch.ones(28, dtype=torch.bool))
    torch.testing.assert_close(distances(mirrored), distances(ALL))
    torch.testing.assert_close(palm_axes(mirrored)[..., 1, 1:], palm_axes(ALL)[..., 1, 1:])
    assert not torch.allclose(mirrored, ALL)


def test_left_hands_are_read_like_right_ones():
    logits = np.random.default_rng(0).normal(size=(4, 58))
    swapped = np.concatenate([logits[:, 29:], logits[:, :29]], 1)
    (right_hand, left), (again, right) = either_hand(logits, .5), either_hand(swapped, .5)
    np.testing.assert_allclose(right_hand, again)
    np.testing.assert_allclose(left, 1 - right)


def test_a_usual_hand_is_believed_sooner():
    logits = np.zeros((1, 58))
    assert [round(either_hand(logits, share)[1].item(), 3) for share in (.1, .5, .9)] == [.1, .5, .9]


@pytest.fixture(scope='module')
def net(): return train_landmarks(as_hands(), steps=200, quiet=True)


def test_it_learns_either_hand(net):
    signs = [SIGNS.index(sign) for sign in HANDS]
    log_probs, left = landmark_log_probs(net, as_hands())
    assert (log_probs.argmax(1) == signs).all() and (left == 0).all()
    log_probs, _ = landmark_log_probs(net, as_hands(mirror(ALL, torch.ones(28, dtype=torch.bool))))
    assert (log_probs.argmax(1) == signs).mean() > .9


def test_both_ways_a_hand_is_read_like_its_mirror_image(net):
    both = as_hands(), as_hands(mirror(ALL, torch.ones(28, dtype=torch.bool)))
    one, other = (landmark_log_probs(net, hands, both_ways=True)[0] for hands in both)
    np.testing.assert_allclose(one, other, atol=1e-4)
    one, other = (landmark_log_probs(net, hands)[0] for hands in both)
    assert np.abs(one - other).max() > .01


def test_what_has_no_weight_is_never_drawn():
    hands, weights = as_hands(), np.zeros(28)
    weights[[2, 5, 7]] = 1, 0, 3
    hands.numbers[5] = np.nan
    drawn = torch.cat([signs for _, signs in LandmarksDL(hands, weights, 4096, bs=512, shuffle=True)])
    counts = drawn.bincount(minlength=29)
    assert counts.sum() == 4096 and counts[[2, 7]].sum() == 4096 and 2 < counts[7]/counts[2] < 4.5


def test_the_same_seed_gives_the_same_network(net):
    again = train_landmarks(as_hands(), steps=200, quiet=True)
    weights = (some.state_dict().values() for some in (net, again))
    for one, other in zip(*weights): torch.testing.assert_close(one, other)


def test_views_that_show_no_hand_do_not_count(net):
    hands = as_hands(copies=2)
    hands.numbers[:, 1] = np.nan
    np.testing.assert_allclose(landmark_log_probs(net, hands)[0], landmark_log_probs(net, as_hands())[0], atol=1e-4)
    assert np.isnan(landmark_log_probs(net, hands, views=[1])[0]).all()


def test_no_pictures_and_no_hands(net):
    assert landmark_log_probs(net, as_hands().of([]))[0].shape == (0, 29)
    hands = as_hands()
    hands.numbers[:] = np.nan
    assert np.isnan(landmark_log_probs(net, hands)[1]).all()


def test_only_found_hands_are_drawn_and_all_signs_as_often():
    hands = as_hands()
    hands.numbers[3] = np.nan
    more = Hands(hands.files + hands.files[:1]*200, np.concatenate([hands.numbers, hands.numbers[:1].repeat(200, 0)]))
    dl = LandmarksDL(more, length=5400, bs=540, shuffle=True)
    drawn = torch.cat([signs for *_, signs in dl])
    counts = drawn.bincount(minlength=29)
    assert counts[SIGNS.index('D')] == 0 and counts[SIGNS.index('nothing')] == 0
    others = counts[[i for i in range(29) if SIGNS[i] not in ('D', 'nothing')]]
    assert 120 < others.min() and others.max() < 290


def test_a_sign_that_is_often_overlooked_is_likelier_without_a_hand():
    files = [Path(f'{sign}/{sign}{i}.jpg') for sign in 'AB' for i in range(50)]
    numbers = np.zeros((100, 1, 128), np.float32)
    numbers[:20] = np.nan
    chances = np.exp(prior_without_hand(Hands(files, numbers)))
    assert chances[0] > 10*chances[1] and chances[2] == pytest.approx(chances[1]) and chances.sum() == pytest.approx(1)


def test_variation_is_drawn_with_the_seed():
    batch = ALL, torch.arange(28)
    def varied():
        torch.manual_seed(5)
        return RandomLandmarks(bend=10)(batch, split_idx=0)
    for one, other in zip(varied(), varied()): torch.testing.assert_close(one, other)
    assert RandomLandmarks()(batch, split_idx=1)[0] is ALL
    still, signs = RandomLandmarks(lengths=0, apart=(0, 0), degrees=(0, 0, 0), shake=0, left=0)(batch, split_idx=0)
    torch.testing.assert_close(still, at_wrist(ALL))
    assert signs.tolist() == [*range(28)]


def test_the_network_can_be_taken_to_other_places(tmp_path, net):
    torch.save(net.state_dict(), tmp_path/'net.pth')
    again = LandmarkClassifier(net.hidden).eval()
    again.load_state_dict(torch.load(tmp_path/'net.pth', weights_only=True))
    torch.testing.assert_close(again(ALL), net(ALL))
    assert math.isfinite(net(torch.zeros(1, 2, 21, 3)).sum().item()) # joints that all fall together


KV = 12., .5 # slope and offset of an older bundle's classifier

def thumbs(nearer, sign, n=20):
    "Hands whose thumb's tip is nearer to the middle finger than to the ring finger by about so many palms"
    rng, rows = np.random.default_rng(len(sign)), np.zeros((n, 2, 128), np.float32)
    world = np.random.default_rng(1).normal(0, .01, (21, 3))
    world[[5, 9, 13, 17]] = [[.3, -.95, 0], [0, -1, 0], [-.3, -.95, 0], [-.6, -.8, 0]]
    world[0], world[10], world[14] = 0, [0, -1.5, 0], [-1, -1.5, 0]
    for row in rows:
        there = (-.5 + nearer/2 + rng.normal(0, .05), -1.5, 0)
        world[4] = there
        row[:, 63:126] = world.flatten()*rng.uniform(.05, .1)
    return Hands([Path(sign)/f'{sign}{i}.jpg' for i in range(n)], rows)


def both_thumbs():
    k, v = thumbs(.4, 'K'), thumbs(-.4, 'V')
    return Hands(k.files + v.files, np.concatenate([k.numbers, v.numbers]))


def test_the_offset_of_the_thumb_is_the_same_whatever_the_size_of_the_hand():
    nearer = thumb_offset(both_thumbs())
    assert nearer[:20].min() > .1 > -.1 > nearer[20:].max()


def test_only_the_two_signs_change_and_their_sum_does_not():
    hands, rng = both_thumbs(), np.random.default_rng(0)
    log_probs = rng.normal(size=(40, 29))
    log_probs -= np.logaddexp.reduce(log_probs, 1, keepdims=True)
    k, v = (SIGNS.index(sign) for sign in 'KV')
    new = apply_kv_classifier(log_probs, hands, KV)
    others = [i for i in range(29) if i not in (k, v)]
    np.testing.assert_array_equal(new[:, others], log_probs[:, others])
    before, after = (np.logaddexp(some[:, k], some[:, v]) for some in (log_probs, new))
    np.testing.assert_allclose(after, before, atol=1e-6)
    assert (new[:20, k] > new[:20, v]).all() and (new[20:, k] < new[20:, v]).all()


def test_without_a_hand_or_a_classifier_nothing_changes():
    hands = both_thumbs()
    hands.numbers[3] = np.nan
    log_probs = np.full((40, 29), -np.log(29))
    np.testing.assert_array_equal(apply_kv_classifier(log_probs, hands, KV)[3], log_probs[3])
    assert apply_kv_classifier(log_probs, hands, None) is log_probs


def test_a_mirrored_hand_spreads_as_its_original_does():
    angles, every = torch.full((28, 5), .2), torch.ones(28, dtype=torch.bool)
    spread_first = mirror(spread(ALL, angles), every)
    torch.testing.assert_close(spread(mirror(ALL, every), angles), spread_first, atol=1e-4, rtol=0)


def test_only_some_signs_may_spread():
    free = may_spread(torch.arange(29))
    assert free[SIGNS.index('V')].tolist() == [0, 1, 1, 0, 0] and free[SIGNS.index('U')].sum() == 0
