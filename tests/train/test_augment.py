"Augmentation on batches of every shape, in fastai's own places"
import pickle, sys, warnings
import numpy as np
import pytest
import torch
from fastai.vision.all import (CategoryBlock, DataBlock, ImageBlock, Learner, Normalize, Pipeline, PointBlock,
                               TensorCategory, TensorImage, TensorPoint, imagenet_stats, nn, resnet18, set_seed,
                               vision_learner)
from hypothesis import given, settings, strategies as st
from PIL import Image
from asl_signs.models import recipe
from asl_signs.train.augment import RandomApply, RandomHandCrop, camera_tfms, get_kornia
from asl_signs.metrics.distortions import compressed
from asl_signs.core.signs import SIGNS
from asl_signs.train.callbacks import AverageWeights, BFloat16OnCPU, GrowPictures

NAMES = ['light', 'blur', 'downscale', 'noise', 'JPEG', 'erase']
names = pytest.mark.parametrize('name', NAMES)


def colours(name, p=1, size=32):
    "One of the transforms that change colours, of as many pictures as asked"
    tfm = camera_tfms(size)[NAMES.index(name)]
    tfm.p = p
    return tfm


def all_tfms(size): return [RandomHandCrop(size), *camera_tfms(size)]


def pictures(n=6, channels=3, height=32, width=32, seed=0):
    "Smooth pictures"
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(n, channels, 5, 5, generator=generator)
    return TensorImage(nn.functional.interpolate(coarse, (height, width), mode='bicubic').clamp(0, 1))


def hands(n=6): return TensorPoint(torch.rand(n, 21, 2, generator=torch.Generator().manual_seed(1))*.8 - .4)
def plain(x): return x.as_subclass(torch.Tensor)
def through(batch, tfms, split_idx=0): return Pipeline(tfms, split_idx=split_idx)(batch)


# Shapes, ranges, types

@settings(max_examples=30, deadline=None)
@given(n=st.integers(1, 5), height=st.integers(2, 40), width=st.integers(2, 40), seed=st.integers(0, 9))
def test_pictures_of_any_shape_stay_pictures(n, height, width, seed):
    given = pictures(n, 3, height, width, seed)
    before = given.clone()
    for name in NAMES:
        set_seed(seed)
        changed = colours(name)(given)
        assert type(changed) is TensorImage and changed.shape == (n, 3, height, width)
        assert changed.isfinite().all() and changed.min() >= 0 and changed.max() <= 1
        assert (given == before).all(), 'the batch that was given was changed'


@settings(max_examples=40, deadline=None)
@given(n=st.integers(1, 5), height=st.integers(2, 60), width=st.integers(2, 60),
       size=st.integers(1, 40), pointed=st.booleans(), training=st.booleans())
def test_everything_together_on_any_shape(n, height, width, size, pointed, training):
    batch = (pictures(n, 3, height, width), *([hands(n)] if pointed else []), TensorCategory(torch.arange(n)))
    x, *points, signs = through(batch, all_tfms(size), split_idx=int(not training))
    assert type(x) is TensorImage and x.shape == (n, 3, size, size) and x.isfinite().all()
    assert x.min() >= -1e-5 and x.max() <= 1 + 1e-5
    assert type(signs) is TensorCategory and signs.tolist() == [*range(n)]
    for hand in points: assert type(hand) is TensorPoint and hand.shape == (n, 21, 2) and hand.isfinite().all()


@names
def test_the_seed_decides(name):
    def made(seed):
        set_seed(seed)
        return colours(name)(pictures())
    assert (made(3) == made(3)).all() and (made(3) != made(4)).any()


@names
def test_about_as_many_change_as_asked(name):
    set_seed(0)
    given = pictures(200, height=16, width=16)
    changed = (colours(name, .5)(given) != given).flatten(1).any(1).float().mean()
    assert .35 < changed < .65
    assert (colours(name, 0)(given) == given).all()


@names
def test_validation_is_left_alone(name):
    given = pictures()
    seen = colours(name)(given, split_idx=1)
    assert (seen == given).all()


@pytest.mark.parametrize('name', sorted({*NAMES} - {'downscale'}))
def test_each_picture_gets_numbers_of_its_own(name):
    set_seed(0)
    same = TensorImage(pictures(1).repeat(12, 1, 1, 1))
    assert len(torch.unique(plain(colours(name)(same).flatten(1)), dim=0)) > 6


# Around the hand

def test_without_a_change_the_picture_stays():
    still = RandomHandCrop(32, scale=(1, 1), shift=0, degrees=0, stretch=0, whole=0, edge=0)
    all_of_it = TensorPoint(torch.tensor([[-1., -1], [1, 1]]).repeat(6, 1, 1))
    seen, points = still((pictures(), all_of_it))
    assert torch.allclose(plain(seen), plain(pictures()), atol=1e-5)
    assert torch.allclose(plain(points), plain(all_of_it), atol=1e-6)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), column=st.integers(8, 55), row=st.integers(8, 55))
def test_points_go_where_pixels_go(seed, column, row):
    set_seed(seed)
    x = torch.zeros(4, 3, 64, 64)
    x[:, :, row - 2:row + 3, column - 2:column + 3] = 1
    point = torch.tensor([column, row])*2/63 - 1 # within half a pixel
    points = TensorPoint(torch.stack([point - .2, point + .2, point]).repeat(4, 1, 1).float())
    seen, moved = RandomHandCrop(64)((TensorImage(x), points))
    for one, (x_of, y_of) in zip(plain(seen)[:, 0], plain(moved)[:, 2]):
        if max(abs(x_of), abs(y_of)) > .9 or one.sum() < 1: continue
        at = torch.linspace(-1, 1, 64)
        assert abs((one.sum(0)*at).sum()/one.sum() - x_of) < .12
        assert abs((one.sum(1)*at).sum()/one.sum() - y_of) < .12


def test_a_crop_is_what_pytorch_samples():
    "A quarter of a turn of the whole picture: what was to the right is above"
    class Turned(RandomHandCrop):
        def crops(self, pictures, points): return torch.tensor([[0., -1, 0], [1, 0, 0]]).repeat(len(pictures), 1, 1)
    seen, points = Turned(32, edge=0)((pictures(), TensorPoint(torch.tensor([[[.5, 0]]]).repeat(6, 1, 1))))
    assert torch.allclose(plain(seen), plain(pictures()).rot90(1, (2, 3)), atol=1e-4)
    assert torch.allclose(plain(points), torch.tensor([[[0, -.5]]]), atol=1e-6)


def test_no_picture_is_mirrored():
    set_seed(0)
    points = TensorPoint(torch.tensor([[-.3, -.3], [.3, -.3], [-.3, .3]]).repeat(300, 1, 1))
    moved = plain(RandomHandCrop(8)((pictures(300, height=8, width=8), points))[1])
    (ax, ay), (bx, by) = (moved[:, 1] - moved[:, 0]).T, (moved[:, 2] - moved[:, 0]).T
    assert (ax*by - ay*bx > 0).all()


def test_unknown_hands_get_a_square_all_the_same():
    some = plain(hands()).clone()
    some[::2] = torch.nan
    seen, moved = RandomHandCrop(32)((pictures(), TensorPoint(some)))
    moved = plain(moved)
    assert seen.isfinite().all() and moved[1::2].isfinite().all()
    assert (moved.isnan().flatten(1).all(1) == torch.tensor([True, False]*3)).all()


def test_the_frame_of_the_film_is_never_seen():
    framed = torch.full((40, 3, 200, 200), .8)
    for side in (framed, framed.mT): side[:, :, [0, 1, 2, -3, -2, -1]] = 0
    assert RandomHandCrop(96)((TensorImage(framed),))[0].min() > .79


def test_a_tuple_of_pictures_alone_and_points_of_a_plain_tensor():
    assert [part.shape for part in RandomHandCrop(16)((pictures(),))] == [(6, 3, 16, 16)]
    seen, moved, signs = RandomHandCrop(16)((pictures(), plain(hands()), torch.arange(6)))
    assert type(moved) is torch.Tensor and moved.shape == (6, 21, 2) and signs.tolist() == [*range(6)]


# Light, lens, file

def test_what_is_plain_stays_plain():
    set_seed(0)
    x = TensorImage(torch.full((4, 3, 24, 40), .4))
    for name in ('blur', 'downscale'): assert torch.allclose(plain(colours(name)(x)), plain(x), atol=1e-5)
    assert (colours('JPEG')(x) - x).abs().max() < 3/255


def test_light_comes_from_a_side_and_spares_the_middle():
    set_seed(0)
    x = colours('light')(TensorImage(torch.full((50, 3, 9, 9), .4)))
    slopes = plain(x)[:, :, 4, -1] - plain(x)[:, :, 4, 0]
    assert (slopes > .02).any() and (slopes < -.02).any()


def test_any_function_of_colours_changes_some():
    set_seed(0)
    given = pictures(200, height=8, width=8)
    inverted = RandomApply(lambda x: 1 - x, .5)(given)
    changed = (inverted != given).flatten(1).any(1)
    assert .35 < changed.float().mean() < .65
    assert torch.allclose(plain(inverted)[changed], 1 - plain(given)[changed])


def test_jpegs_are_pillows_of_different_quality():
    set_seed(0)
    x = plain(pictures(1, 3, 64, 64))
    levels = Image.fromarray(np.uint8(255*x[0].permute(1, 2, 0) + .5))
    known = {np.asarray(compressed(levels, quality)).tobytes() for quality in range(15, 81)}
    saved = plain(colours('JPEG')(TensorImage(x.repeat(30, 1, 1, 1))))
    made = {np.uint8(255*one.permute(1, 2, 0) + .5).tobytes() for one in saved}
    assert made <= known and len(made) > 10


def test_a_missing_kornia_is_one_sentence_that_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, 'kornia', None)
    monkeypatch.setitem(sys.modules, 'kornia.augmentation', None)
    for make in (get_kornia, lambda: camera_tfms(32)):
        with pytest.raises(ImportError, match=r"^kornia\S* is missing: pip install 'asl_signs\[train\]'$"): make()


def test_the_reader_says_so_before_it_looks_for_hands(monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(sys.modules, 'kornia', None)
    monkeypatch.setitem(sys.modules, 'kornia.augmentation', None)
    monkeypatch.setattr(recipe, 'find_hands', None)
    assert recipe.main(['sample', '--frames', '4', '--out', str(tmp_path/'new')]) == 1
    assert capsys.readouterr().err.endswith(" is missing: pip install 'asl_signs[train]'\n")


# In fastai's places

@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp('pictures')
    for i in range(24):
        levels = np.uint8(255*pictures(1, 3, 40, 40, i)[0].permute(1, 2, 0))
        Image.fromarray(levels).save(made/f'{i}.png')
    return made


def block(*tfms, blocks=(ImageBlock, CategoryBlock(vocab=SIGNS)), **kwargs):
    kwargs = dict(get_y=lambda file: SIGNS[int(file.stem)]) | kwargs
    return DataBlock(blocks=blocks, batch_tfms=tfms, splitter=lambda files: ([*range(16)], [*range(16, 24)]),
                     get_items=lambda folder: sorted(folder.glob('*.png'), key=lambda file: int(file.stem)), **kwargs)


def test_a_block_of_ones_own_is_varied_in_training_alone(folder, tmp_path):
    dls = block(*all_tfms(32), Normalize.from_stats(*imagenet_stats)).dataloaders(folder, bs=8)
    shown, _ = dls.valid.one_batch()
    files = torch.stack([torch.tensor(np.array(Image.open(file))).permute(2, 0, 1)/255 for file in dls.valid_ds.items])
    mean, std = (torch.tensor(numbers).view(3, 1, 1) for numbers in imagenet_stats)
    small = nn.functional.interpolate(files, (32, 32), mode='bilinear', antialias=True)
    assert torch.allclose(plain(shown.cpu()), (small - mean)/std, atol=1e-4)
    assert dls.train.one_batch()[0].shape == (8, 3, 32, 32)
    for dl in (dls.train, dls.valid): dl.show_batch(max_n=4)
    dls.show_batch(max_n=4, unique=True)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        learn = vision_learner(dls, resnet18, pretrained=False, path=tmp_path)
        with learn.no_bar(), learn.no_logging(): learn.fit(1)
        file = dls.valid_ds.items[0]
        with learn.no_bar(): before = learn.predict(file)[2]
    assert torch.allclose(before, learn.predict(file)[2])


def test_points_are_a_block_like_any_other(folder):
    def points(file): return [[10, 10], [30, 20], [20, 30]]
    dls = block(*all_tfms(32), blocks=(ImageBlock, PointBlock, CategoryBlock(vocab=SIGNS)), n_inp=1,
                get_y=[points, lambda file: SIGNS[int(file.stem)]]).dataloaders(folder, bs=8)
    x, hand, _ = dls.train.one_batch()
    assert (type(x), type(hand)) == (TensorImage, TensorPoint) and hand.shape == (8, 3, 2)
    dls.show_batch(max_n=4)
    shown = dls.valid.one_batch()[1].cpu()[0]
    assert torch.allclose(plain(shown), torch.tensor(points(None))/20 - 1)


@pytest.mark.parametrize('training', [True, False])
def test_everything_happens_on_the_batchs_device(training):
    "PyTorch's device without numbers refuses tensors of the processor, as a graphics card does; JPEGs need numbers"
    batch = TensorImage(pictures(height=50, width=40).to('meta')), TensorPoint(hands().to('meta'))
    for name, tfm in zip(['crop', *NAMES], all_tfms(16)):
        if name == 'JPEG': continue
        tfm.p = 1
        batch = tfm(batch, split_idx=int(not training))
    assert {part.device.type for part in batch} == {'meta'} and batch[0].shape == (6, 3, 16, 16)


@pytest.mark.skipif(not torch.cuda.is_available(), reason='no graphics card')
def test_a_graphics_card_gives_the_same_pictures():
    seen = []
    for device in ('cpu', 'cuda'):
        set_seed(1)
        tfms = [tfm for name, tfm in zip(['crop', *NAMES], all_tfms(32)) if name not in ('noise', 'JPEG')]
        seen.append(plain(through((pictures().to(device), hands().to(device)), tfms)[0]).cpu())
    assert torch.allclose(*seen, atol=1e-3)


def test_transforms_can_be_pickled_and_read():
    for tfm in all_tfms(32):
        copy = pickle.loads(pickle.dumps(tfm))
        set_seed(1)
        first = tfm((pictures(),))[0]
        set_seed(1)
        assert (copy((pictures(),))[0] == first).all()
        assert len(str(tfm)) < 200


def test_with_half_precision_growing_pictures_and_the_learning_rate_finder(folder, tmp_path):
    dls = block(*all_tfms(32)).dataloaders(folder, bs=8, path=tmp_path)
    head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 29)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), *head)
    learn = Learner(dls, model, cbs=[AverageWeights(), BFloat16OnCPU(), GrowPictures(step=8)])
    before = model[0].weight.clone()
    with learn.no_bar(), learn.no_logging():
        learn.lr_find(num_it=6, show_plot=False)
        assert (model[0].weight == before).all()
        learn.fit_one_cycle(2, 1e-3)
        assert learn.validate()[0] == pytest.approx(learn.recorder.values[-1][-1], rel=.05)
    assert model[0].weight.dtype == torch.float32 and (model[0].weight != before).any()
