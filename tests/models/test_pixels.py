"Crops and the pixel model, where they are no part of the lesson: squares, batches, broken and odd pictures"
import sys
from pathlib import Path
from types import ModuleType
import numpy as np
import pytest
import torch
from fastai.vision.all import IntToFloatTensor, TensorImage
from hypothesis import given, settings, strategies as st
from PIL import Image
from torch import nn
from asl_signs.train.augment import CropAside, RandomMirror
from asl_signs.runtime.landmarks import Hands
from asl_signs.runtime.config import ReadingConfig
from asl_signs.runtime.crops import (cut_square, first_squares, in_picture, normalised, predict_squares, read_in_crops,
                                     read_pictures, square_around, whole_square)
from asl_signs.core.pictures import PictureError
from asl_signs.models.pixels import PixelDL, PixelNet, get_squares, pixel_loss, pixel_tfms, points_of
from asl_signs.core.signs import SIGNS, number_of, sign_of
from asl_signs.datasets.sample import get_sample

quickly = settings(max_examples=30, deadline=None)


class Finger(nn.Module):
    "Stands in for a trained network: it believes the hand to be around the red dot, and that the sign is A"
    def __init__(self):
        super().__init__()
        self.nothing, self.size = nn.Parameter(torch.zeros(1)), 96

    predict = PixelNet.predict

    def forward(self, pictures):
        red = (pictures[:, 0] - pictures[:, 1]).clamp(min=0) + 1e-9
        at = [(red.sum(axis)*torch.linspace(-1, 1, red.shape[2])).sum(1)/red.sum((1, 2)) for axis in (1, 2)]
        middle = torch.stack(at, 1)[:, None]
        corners = torch.tensor([[-.2, -.2], [.2, .2]]).repeat(11, 1)[:21]
        return torch.eye(29)[[0]*len(pictures)] + self.nothing, middle + corners


def dotted(x, y, size=(200, 200)):
    "A grey picture with a red dot"
    pixels = np.full((size[1], size[0], 3), 128, np.uint8)
    pixels[y - 3:y + 4, x - 3:x + 4] = 255, 0, 0
    return Image.fromarray(pixels)


@pytest.fixture(scope='module')
def frames():
    files = Path(get_sample()).rglob('*.jpg')
    return sorted(file for file in files if 'train' in str(file) and number_of(file) < 4)


def hands_for(files, views=2, landmarks=None):
    "Hands in the middle of each picture"
    numbers = np.zeros((len(files), views, 128), np.float32)
    numbers[..., :63] = np.tile([.5, .5, 0], 21) if landmarks is None else landmarks
    return Hands([*files], numbers)


@pytest.mark.parametrize('x,y', [(30, 40), (100, 100), (170, 60)])
def test_the_last_crop_is_around_the_hand(x, y):
    log_probs, squares = read_in_crops(Finger(), [dotted(x, y)])
    assert np.abs(squares[0, :2] - (x, y)).max() < 4
    assert squares[0, 2] < 120 and SIGNS[log_probs[0].argmax()] == 'A'


class Script:
    "Stands in for a network: each step is the sign predicted for a crop, its logit, and the hand's share of the crop"
    size = 8
    def __init__(self, *steps): self.steps, self.crops = steps, 0
    def predict(self, pictures):
        "Log-probabilities in which one sign stands out, and landmarks in a square around the middle"
        steps = [self.steps[min(self.crops, len(self.steps) - 1)]]*len(pictures)
        self.crops += 1
        logits = np.stack([logit*np.eye(29)[SIGNS.index(sign)] for sign, logit, _ in steps])
        corners = np.float32([[-1, -1], [1, 1]]).repeat(11, 0)[:21]
        return normalised(logits), np.stack([share*corners for *_, share in steps])


@pytest.mark.parametrize('steps,crops,sign', [
    ([('A', 9, .6)], 1, 'A'),                                   # probable enough at once
    ([('A', 2, .6), ('B', 9, .6)], 2, 'B'),                     # probable enough in the second crop
    ([('A', 9, .1), ('B', 9, .6)], 2, 'B'),                     # too small in the first one, which does not count
    ([('A', 9, .05), ('B', 1, .05), ('C', .6, .05), ('C', .6, .02)], 4, 'C'), # the smallest square is read again
    ([('A', 1, .6), ('B', 1.1, .6), ('A', 1, .6), ('C', .2, .6)], 4, 'A')]) # never probable enough: all count
def test_it_crops_until_a_sign_is_probable_enough(steps, crops, sign):
    net = Script(*steps)
    log_probs, _ = read_in_crops(net, [Image.new('RGB', (400, 300))])
    assert (net.crops, SIGNS[log_probs[0].argmax()]) == (crops, sign)


def test_four_crops_give_no_more_confidence_than_one():
    one, four = Script(('A', 6, .6)), Script(('A', 1, .6))
    most = [np.exp(read_in_crops(net, [Image.new('RGB', (90, 90))])[0]).max() for net in (one, four)]
    assert most[0] > ReadingConfig.enough
    assert most[1] == pytest.approx(np.exp(normalised(np.eye(29)[:1])).max(), rel=1e-4)


@quickly
@given(st.lists(st.floats(0, 3), min_size=4, max_size=4), st.integers(20, 300), st.integers(20, 300))
def test_some_crop_always_counts(shares, width, height):
    net = Script(*[('A', 1, share) for share in shares])
    log_probs, squares = read_in_crops(net, [Image.new('RGB', (width, height))])
    assert np.isfinite(log_probs).all() and SIGNS[log_probs[0].argmax()] == 'A' and np.isfinite(squares).all()


@quickly
@given(st.lists(st.tuples(st.integers(30, 170), st.integers(30, 170)), min_size=1, max_size=5))
def test_a_picture_is_read_as_if_it_were_alone(places):
    pictures = [dotted(x, y) for x, y in places]
    together, squares = read_in_crops(Finger(), pictures)
    for picture, log_probs, square in zip(pictures, together, squares):
        alone, its = read_in_crops(Finger(), [picture])
        np.testing.assert_allclose(alone[0], log_probs, atol=1e-4)
        np.testing.assert_allclose(its[0], square, atol=.1)


def test_pictures_need_not_be_square():
    _, squares = read_in_crops(Finger(), [dotted(60, 170, (150, 200)), dotted(170, 60, (200, 150))])
    assert np.abs(squares[:, :2] - [(60, 170), (170, 60)]).max() < 6


@quickly
@given(st.floats(-1, 1), st.floats(-1, 1), st.floats(.05, 1), st.floats(10, 500), st.floats(1, 3))
def test_squares_are_where_the_landmarks_are(x, y, half, side, factor):
    landmarks = np.float64([(x - half, y - half), (x + half, y + half)])
    found = square_around(in_picture(landmarks, (side, 2*side, side)), side, ReadingConfig(crop_factor=factor))
    np.testing.assert_allclose(found[:2], (side + x*side/2, 2*side + y*side/2))
    assert found[2] == pytest.approx(np.clip(factor*half*side, .25*side, 1.2*side))


def test_the_whole_picture_leaves_out_the_frame(): assert whole_square(Image.new('RGB', (150, 200))) == (75, 100, 190)


def test_kept_squares_do_not_depend_on_the_order(frames):
    one, other = get_squares(frames[:40], 32), get_squares(frames[:40][::-1], 32)
    assert one.path == other.path
    whole = Image.open(frames[5]).convert('RGB')
    whole = cut_square(whole, (whole.width/2, whole.width/2, whole.width), 32)
    np.testing.assert_array_equal(one.take(one.rows([frames[5]]))[0], np.asarray(whole))


def test_a_picture_that_is_not_square_lies_at_the_top_left_of_its_square(tmp_path):
    "So that landmarks, in shares of the longer side, are where they were; beyond the picture its edge goes on"
    (tmp_path/'A').mkdir()
    for size in ((100, 50), (50, 100)):
        file = tmp_path/'A'/f'A{size[0]}.png'
        pixels = np.full((size[1], size[0], 3), 50, np.uint8)
        pixels[-10:, -10:] = 250
        Image.fromarray(pixels).save(file)
        square = get_squares([file], 100).take([0])[0]
        np.testing.assert_array_equal(square[:size[1], :size[0]], pixels)
        assert (square[-10:, -10:] == 250).all() and (square[:30, :30] == 50).all()


def test_a_broken_frame_is_named_and_nothing_is_kept(tmp_path):
    (tmp_path/'A').mkdir()
    (tmp_path/'A'/'A1.jpg').write_bytes(b'no picture')
    with pytest.raises(PictureError, match='A1.jpg'): get_squares([tmp_path/'A'/'A1.jpg'], 32)


def test_points_are_the_median_of_views_and_nothing_has_none():
    files = [Path('A/A1.jpg'), Path('nothing/nothing1.jpg'), Path('B/B1.jpg')]
    hands = hands_for(files, views=3)
    hands.numbers[0, 0, :63] = 9 # far off
    hands.numbers[0, 2] = np.nan
    hands.numbers[0, 1, :63] = .25
    hands.numbers[2] = np.nan
    points = points_of(hands)
    assert np.isnan(points[1]).all() and np.isnan(points[2]).all()
    assert (points[0, :, :2] == 2*np.float32((9 + .25)/2) - 1).all()


def test_batches_are_varied_in_training_only(frames):
    some = frames[:32]
    squares, tfms = get_squares(some, 32), [IntToFloatTensor(), *pixel_tfms(32)]
    still, again = (PixelDL(squares, hands_for(some), bs=32, after_batch=tfms).one_batch() for _ in range(2))
    varied = PixelDL(squares, hands_for(some), bs=32, shuffle=True, after_batch=tfms).one_batch()
    torch.testing.assert_close(still[0], again[0])
    assert still[0].shape == varied[0].shape == (32, 3, 32, 32)
    assert [SIGNS[sign] for sign in still[2]] == [*map(sign_of, some)]
    np.testing.assert_allclose(still[0].permute(0, 2, 3, 1)*255, squares.take(squares.rows(some)), atol=.6)
    assert not torch.equal(varied[1].nan_to_num(), still[1].nan_to_num())


def test_what_has_no_weight_is_never_drawn(frames):
    some, weights = frames[:32], np.zeros(32)
    weights[[3, 5]] = 1, 3
    dl = PixelDL(get_squares(some, 32), hands_for(some), weights, 4000, bs=500, shuffle=True)
    drawn = torch.cat([signs for *_, signs in dl])
    assert len(drawn) == 4000 and {*drawn.tolist()} == {SIGNS.index(sign_of(some[row])) for row in (3, 5)}


def test_without_hands_the_loss_is_that_of_the_signs():
    logits, points = torch.randn(3, 29), torch.full((3, 21, 2), torch.nan)
    loss = pixel_loss((logits, torch.zeros(3, 21, 2)), points, torch.arange(3))
    torch.testing.assert_close(loss, nn.functional.cross_entropy(logits, torch.arange(3), label_smoothing=.1))


def boxes(*ends):
    "Points (n, 21, 2) in boxes from one corner to the other, from -1 to 1"
    return torch.tensor([[(left, top)]*11 + [(right, bottom)]*10 for left, top, right, bottom in ends])


def test_points_move_along_in_the_mirror():
    x, points = torch.rand(40, 3, 8, 8), torch.rand(40, 21, 3)*2 - 1
    torch.manual_seed(0)
    seen, moved, signs = RandomMirror()((TensorImage(x), points, torch.arange(40)), split_idx=0)
    flipped = (seen != x).flatten(1).any(1)
    assert 8 < flipped.sum() < 32 and signs.tolist() == [*range(40)] and type(seen) is TensorImage
    torch.testing.assert_close(seen[flipped].as_subclass(torch.Tensor), x[flipped].flip(-1))
    torch.testing.assert_close(moved[flipped], points[flipped]*torch.tensor([-1, 1, 1]))
    torch.testing.assert_close(moved[~flipped], points[~flipped])
    given = TensorImage(x), points, torch.arange(40)
    for one, other in zip(given, RandomMirror()(given, split_idx=1)): assert one is other


ROOMS = [(-.3, -1, 1, 1), (-1, -1, .3, 1), (-1, -.3, 1, 1), (-1, -1, 1, .3), (-.2, -.2, .9, .9), (-.9, -.9, .2, .2)]

@pytest.mark.parametrize('box', ROOMS)
def test_beside_the_hand_is_nothing(box):
    "The hand is red, and all around it is grey: no red is left"
    points = boxes(*[box]*30)
    at = (torch.arange(80) + .5)/40 - 1
    inside = [(at > low) & (at < high) for low, high in (box[0::2], box[1::2])]
    x = torch.full((30, 3, 80, 80), .5)
    x[:, 0, inside[1][:, None] & inside[0]] = 1
    before = x.clone()
    seen, moved, signs = CropAside(p=1)((TensorImage(x), points, torch.zeros(30, dtype=torch.long)), split_idx=0)
    assert moved.isnan().all() and (signs == SIGNS.index('nothing')).all() and seen.shape == x.shape
    assert (seen - .5).abs().max() < 1e-5 and torch.equal(x, before)


def test_a_hand_without_room_beside_it_keeps_its_sign():
    points = boxes((-.6, -.6, .6, .6), (-1.2, -1.1, 1.3, 1.1), (-.5, -.9, .9, .9))
    points = torch.cat([points, torch.full((1, 21, 2), torch.nan)])
    x, signs = torch.rand(4, 3, 16, 16), torch.arange(4)
    seen, moved, after = CropAside(p=1)((TensorImage(x), points, signs), split_idx=0)
    changed = [False, False, True, False] # a quarter of the side is free on the left of the third one only
    assert (after == SIGNS.index('nothing')).tolist() == changed
    assert (seen != x).flatten(1).any(1).tolist() == changed
    assert moved[:, 0, 0].isnan().tolist() == [False, False, True, True]
    assert CropAside(p=0)((TensorImage(x), points, signs), split_idx=0)[2].tolist() == signs.tolist()
    assert CropAside(p=1)((TensorImage(x), points, signs), split_idx=1)[2].tolist() == signs.tolist()


class Finder:
    "Stands in for a detector: the hand is around the red dot, and half as large as the picture"
    size = 96
    def find(self, pictures):
        red = pictures[..., 0].astype(float) - pictures[..., 1]
        return np.array([(*(2*np.argwhere(one > 50).mean(0)[::-1]/95 - 1), .5*2) for one in red])


@pytest.mark.parametrize('size, x, y', [((200, 200), 60, 150), ((300, 200), 60, 150), ((150, 240), 100, 200)])
def test_the_first_crop_is_where_the_detector_finds_the_hand(size, x, y):
    config = ReadingConfig(crop_factor=1.6)
    square, = first_squares(Finder(), [dotted(x, y, size)], config)
    assert np.abs(square[:2] - (x, y)).max() < 4 and square[2] == pytest.approx(.8*max(size))
    limited, = first_squares(Finder(), [dotted(x, y, size)], ReadingConfig(crop_factor=9))
    assert limited[2] == pytest.approx(1.2*max(size))
    assert first_squares(None, [dotted(x, y, size)])[0].tolist() == [*whole_square(dotted(x, y, size))]


def test_with_a_detector_one_crop_is_enough():
    config = ReadingConfig(max_crops=1)
    log_probs = read_pictures(Finger(), [dotted(170, 60)], config=config, detector=Finder())
    alone, _ = read_in_crops(Finger(), [dotted(170, 60)], config, Finder())
    np.testing.assert_allclose(log_probs, alone, atol=1e-6)


def test_a_hand_that_was_found_is_cropped_once(tmp_path):
    file = tmp_path/'A1.png'
    dotted(60, 60).save(file)
    seen = []
    class Watching(Finger):
        def forward(self, pictures):
            seen.append(pictures)
            return super().forward(pictures)
    landmarks = np.concatenate([[.2, .2, 0]*10, [.4, .4, 0]*11])
    read_pictures(Watching(), [file], hands_for([file], 1, landmarks))
    assert len(seen) == 1 # one crop where the hand was found, and no further one
    red = (seen[0][0, 0] - seen[0][0, 1]).argmax().item()
    assert abs(red % 96 - 48) < 12 and abs(red//96 - 48) < 12


def test_pictures_with_and_without_a_hand_keep_their_places(tmp_path):
    files = [tmp_path/f'A{i}.png' for i in range(3)]
    for file in files: dotted(100, 100).save(file)
    hands = hands_for(files, 1, np.concatenate([[.4, .4, 0]*10, [.6, .6, 0]*11]))
    hands.numbers[1] = np.nan
    net = Finger()
    def by_brightness(pictures):
        return pictures.mean((1, 2, 3))[:, None]*torch.arange(29.), Finger.forward(net, pictures)[1]
    net.forward = by_brightness
    log_probs = read_pictures(net, files, hands)
    np.testing.assert_allclose(log_probs[0], log_probs[2], atol=1e-5)
    np.testing.assert_allclose(log_probs[1], read_pictures(net, files[1:2])[0], atol=1e-5)
    assert abs(log_probs[0] - log_probs[1]).max() > 1e-3


def test_no_pictures_and_a_broken_one(tmp_path):
    assert read_pictures(Finger(), []).shape == (0, 29)
    (tmp_path/'broken.jpg').write_bytes(b'')
    with pytest.raises(PictureError, match='broken.jpg'): read_pictures(Finger(), [tmp_path/'broken.jpg'])


def test_a_broken_progress_bar_stops_nothing(monkeypatch):
    monkeypatch.setitem(sys.modules, 'tqdm.auto', ModuleType('tqdm.auto')) # without `tqdm`, as after half an update
    assert read_pictures(Finger(), [dotted(50, 50)]*65).shape == (65, 29)


def test_any_backbone_of_timm():
    net = PixelNet('resnet18', 64, pretrained=False).eval()
    with torch.no_grad(): logits, landmarks = net(torch.rand(2, 3, 64, 64))
    assert logits.shape == (2, 29) and landmarks.shape == (2, 21, 2)
    log_probs, _ = predict_squares(net, [dotted(50, 50)], [(100, 100, 200)])
    assert np.exp(log_probs).sum() == pytest.approx(1, abs=1e-4)
