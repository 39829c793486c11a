"The detector where it is no part of the lesson: scenes, the loss, any number of pictures, the exported graph"
import numpy as np
import onnxruntime
import pytest
import torch
from fastai.vision.all import TensorImage
from hypothesis import given, settings, strategies as st
from asl_signs.data import get_data
from asl_signs.datasets.hands import drawn_hands
from asl_signs.models.detector import HandDetector, RandomScene, detector_loss, train_detector
from asl_signs.models.export import detector_graph, in_halves
from asl_signs.models.pixels import get_squares, points_of
from asl_signs.runtime.landmarks import Hands
from asl_signs.train.augment import hand_box


@pytest.fixture(scope='module')
def net():
    torch.manual_seed(0)
    return HandDetector(64, pretrained=False).eval()


def marked(seed, n=8, side=80):
    "Grey pictures with a red disc, and points around it; one picture has no hand"
    rng, at = np.random.default_rng(seed), (torch.arange(side) + .5)*2/side - 1
    middle = torch.tensor(rng.uniform(-.6, .6, (n, 2)), dtype=torch.float32)
    disc = (at - middle[:, :1, None])**2 + (at[:, None] - middle[:, 1:, None])**2 < .12**2
    x = torch.full((n, 3, side, side), .4)
    x[:, 0][disc] = 1
    around = torch.tensor([[-.3, 0], [.3, 0], [0, .3], [0, -.3]] + [[0., 0]]*17)
    points = torch.cat([middle[:, None] + around, torch.zeros(n, 21, 1)], 2)
    points[-1] = torch.nan
    return TensorImage(x), points, torch.arange(n)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.floats(.05, .4), st.floats(0, 90), st.floats(0, 1))
def test_points_stay_on_the_hand(seed, smallest, degrees, near):
    torch.manual_seed(seed)
    x, points, signs = marked(seed)
    with pytest.MonkeyPatch.context() as patch: # other pictures' discs, blurred, would count as this one's
        patch.setattr('asl_signs.models.detector._backdrop', lambda pictures, size: torch.tensor(.4))
        seen, moved, after = RandomScene(64, smallest, degrees, near)((x, points, signs), split_idx=0)
    assert type(seen) is TensorImage and seen.shape == (8, 3, 64, 64) and moved.shape == (8, 21, 2)
    assert torch.equal(after, signs) and moved[-1].isnan().all() and seen.isfinite().all()
    red, at = (seen[:, 0] - seen[:, 1]).as_subclass(torch.Tensor).clamp(min=0), (torch.arange(64) + .5)/32 - 1
    for one, (x_of, y_of) in zip(red[:-1], moved[:-1, 4]):
        assert one.sum() > 1
        found = torch.stack([(one.sum(0)*at).sum(), (one.sum(1)*at).sum()])/one.sum()
        assert (found - torch.stack([x_of, y_of])).abs().max() < .1


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_hands_stay_in_the_picture_and_large_enough(seed):
    torch.manual_seed(seed)
    x, points, signs = marked(seed, 40, 16)
    moved = RandomScene(16, degrees=0)((x, points, signs), split_idx=0)[1][:-1]
    _, side = hand_box(moved)
    assert side.min() > .13 - 1e-4 and (moved.abs().amax((1, 2)) < 1 + 1e-4)[side < 1].all()


def test_validation_shows_whole_pictures():
    x, points, signs = marked(0, side=64)
    seen, moved, _ = RandomScene(64)((x, points, signs), split_idx=1)
    torch.testing.assert_close(seen, x)
    torch.testing.assert_close(moved, points[..., :2], equal_nan=True)


def perfect(points):
    middle, side = hand_box(points)
    return torch.cat([middle, (2*side).log()[:, None]], 1)


def test_perfect_squares_cost_nothing():
    points = torch.rand(6, 21, 2, generator=torch.Generator().manual_seed(0))*1.2 - .6
    found = perfect(points)
    assert detector_loss(found, points) == pytest.approx(0, abs=1e-6)
    off, larger = (detector_loss(found + torch.tensor(change), points) for change in ([.1, 0, 0], [0, 0, .3]))
    assert off > .05 and larger > .05
    points[2:4] = torch.nan # whatever is found where there is no hand does not count
    found[2:4] = 9
    assert detector_loss(found, points) == pytest.approx(0, abs=1e-6)


def test_a_batch_without_a_hand_teaches_nothing():
    found = torch.zeros(3, 3, requires_grad=True)
    loss = detector_loss(found, torch.full((3, 21, 2), torch.nan))
    loss.backward()
    assert loss == 0 and (found.grad == 0).all()


def test_a_picture_is_found_in_as_if_it_were_alone(net):
    pictures = np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), dtype=np.uint8)
    together = net.find(pictures)
    assert together.shape == (5, 3) and (together[:, 2] > 0).all() and np.isfinite(together).all()
    for picture, found in zip(pictures, together):
        np.testing.assert_allclose(net.find(picture[None])[0], found, atol=1e-4)


def test_the_exported_graph_finds_the_same(net):
    model = detector_graph(net)
    pictures = np.random.default_rng(1).integers(0, 256, (7, 64, 64, 3), dtype=np.uint8)
    for graph, tolerance in ((model, 1e-4), (in_halves(model), .02)):
        session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=['CPUExecutionProvider'])
        for some in (pictures, pictures[:1]):
            np.testing.assert_allclose(session.run(None, dict(pictures=some))[0], net.find(some), atol=tolerance)


def test_it_learns_and_its_seed_decides():
    frames = [file for file in get_data('sample').train if 'nothing' not in file.name][::8]
    hands, squares = drawn_hands(frames), get_squares(frames, 64)
    def trained(): return train_detector(hands, steps=12, size=48, bs=16, lr=2e-3, squares=squares, pretrained=False)
    net, again = trained(), trained()
    assert not net.training and net.size == 48
    for one, other in zip(net.parameters(), again.parameters()): torch.testing.assert_close(one, other)
    torch.manual_seed(42)
    before, points = HandDetector(48, pretrained=False), torch.from_numpy(points_of(hands))[..., :2]
    pictures = torch.from_numpy(squares.take(squares.rows(frames))).permute(0, 3, 1, 2)/255
    small = torch.nn.functional.interpolate(pictures, (48, 48), mode='bilinear', antialias=True)
    with torch.no_grad(): assert detector_loss(net(small), points) < detector_loss(before(small), points)


def test_hands_that_were_not_found_do_no_harm():
    frames = get_data('sample').train[::40]
    nowhere = Hands(frames, np.full((len(frames), 1, 128), np.nan, np.float32))
    net = train_detector(nowhere, steps=2, size=32, bs=4, lr=2e-3, squares=get_squares(frames, 64), pretrained=False)
    assert all(weights.isfinite().all() for weights in net.parameters())
