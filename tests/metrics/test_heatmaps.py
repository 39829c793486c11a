"Heat maps show what is known to be the reason, and leave the network as it was"
from weakref import ref
from unittest.mock import patch
import numpy as np
import pytest
import torch
from fastai.vision.all import (CategoryBlock, DataBlock, ImageBlock, Learner, Resize, hook_output, nn, parent_label,
                               vision_learner)
from PIL import Image
from asl_signs.metrics import heatmaps
from asl_signs.train.backbones import get_backbone
from asl_signs.data import Picture, get_data, get_dls, small_network
from asl_signs.metrics.heatmaps import heat_at_edge, heat_maps, overlay, plot_right_and_wrong, spread
from asl_signs.datasets.sample import draw_sample
from asl_signs.core.settings import get_settings
from asl_signs.core.signs import SIGNS


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return get_data(draw_sample(tmp_path_factory.mktemp('pictures')/'drawn', frames=6, pictures=1, side=32))


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch): monkeypatch.setenv('ASL_SIGNS_CACHE', str(tmp_path/'cache'))


@pytest.fixture(scope='module')
def dls(data):
    blocks = ImageBlock(Picture), CategoryBlock(vocab=SIGNS)
    block = DataBlock(blocks, get_y=parent_label, item_tfms=Resize(32))
    return block.dataloaders(data.train, bs=16, num_workers=0)


@pytest.fixture
def learn(dls):
    torch.manual_seed(42)
    return Learner(dls, small_network())


class OnlyAt(nn.Module):
    "What lies at one place; everything else is nothing"
    def __init__(self, row, column):
        super().__init__()
        self.register_buffer('mask', torch.zeros(4, 4))
        self.mask[row, column] = 1

    def forward(self, x): return x*self.mask


def looks_at(dls, row, column): # A is how bright one of sixteen places is, B how dark, and all others are worth nothing
    layers = nn.AvgPool2d(8), OnlyAt(row, column), nn.Flatten(), nn.Linear(48, 29, bias=False)
    learn = Learner(dls, nn.Sequential(*layers))
    learn.model[3].weight.data.zero_()
    learn.model[3].weight.data[:2] = torch.tensor([[1.], [-1.]])
    return learn


def place(*at): # a white square on black
    pixels = np.zeros((32, 32, 3), np.uint8)
    for row, column in at: pixels[8*row:8*row + 8, 8*column:8*column + 8] = 255
    return Image.fromarray(pixels)


def remembered(learn):
    "How many outputs of layers are still there after a batch, as they are where a hook was left behind"
    layers, seen = [*learn.model.modules()], []
    modes = [layer.training for layer in layers]
    own = [layer.register_forward_hook(lambda layer, given, output: seen.append(ref(output))) for layer in layers]
    with torch.no_grad(): learn.model.eval()(learn.dls.one_batch()[0])
    for hook in own: hook.remove()
    for layer, mode in zip(layers, modes): layer.training = mode
    return sum(one() is not None for one in seen)


def test_a_hook_that_was_left_behind_is_noticed(learn):
    assert remembered(learn) == 0
    with hook_output(learn.model[3], detach=False): assert remembered(learn) > 0


def state(learn):
    "All that must not change"
    layers, numbers = [*learn.model.modules()], [*learn.model.parameters()]
    return ([layer.training for layer in layers], remembered(learn),
            [p.requires_grad for p in numbers], [p.grad is None for p in numbers],
            [p.sum().item() for p in learn.model.state_dict().values()], torch.is_grad_enabled())


@pytest.mark.parametrize('row, column', [(0, 0), (1, 2), (3, 1)])
def test_heat_lies_where_the_reason_is(dls, row, column):
    learn = looks_at(dls, row, column)
    heats = heat_maps(learn, [place((row, column)), place((row, column), (3, 3), (0, 1))], layer=learn.model[1])
    assert heats.shape == (2, 32, 32)
    for heat in heats:
        y, x = np.unravel_index(heat.argmax(), heat.shape)
        assert (y//8, x//8) == (row, column)
        far = abs(np.mgrid[:32, :32] - np.array([8*row + 4, 8*column + 4])[:, None, None]).max(0) > 12
        assert heat[far].max() == 0


def test_nothing_in_favour_is_zero_and_not_nan(dls):
    learn = looks_at(dls, 0, 0)
    heats = heat_maps(learn, [place(), place((3, 3))], learn.model[1])
    assert (heats == 0).all() and heats.shape == (2, 32, 32)
    assert np.isnan(heat_at_edge(heats)).all()
    assert np.array_equal(overlay(place((1, 1)), heats[0]), place((1, 1)))


def test_maps_are_the_same_one_by_one(learn, data):
    files, layer = data.train[:40:2], learn.model[3]
    heats = heat_maps(learn, files, layer)
    assert heats.shape == (20, 32, 32) and heats.min() >= 0 and set(heats.max((1, 2))) <= {0, 1}
    assert np.allclose(heats, [heat_maps(learn, [file], layer)[0] for file in files], atol=1e-4)


def test_files_and_pictures_may_be_mixed(learn, data):
    pictures = [Image.open(data.train[0]), data.train[0], str(data.train[0]), Picture.create(data.train[0])]
    for files in (pictures, pictures[::-1]):
        heats = heat_maps(learn, files, layer=learn.model[3])
        assert np.allclose(heats, heats[:1])


@pytest.mark.parametrize('training', [True, False])
@pytest.mark.parametrize('wanted', [True, False])
def test_nothing_changes(learn, data, training, wanted):
    learn.model.train(training)
    learn.model[1].eval()
    for p in learn.model[:3].parameters(): p.requires_grad_(wanted)
    before = state(learn)
    heat_maps(learn, data.train[:3], layer=learn.model[3])
    with torch.no_grad(): heat_maps(learn, data.train[:3], layer=learn.model[3])
    with pytest.raises(ValueError, match='none of these signs'):
        plot_right_and_wrong(learn, data.train[:1], layer=learn.model[3])
    assert state(learn) == before


@pytest.mark.parametrize('fails', ['grad_cam', 'spread'])
def test_nothing_changes_when_it_fails(learn, data, fails):
    learn.model.train()
    before = state(learn)
    failing = patch.object(heatmaps, fails, side_effect=RuntimeError('in the middle'))
    with failing, pytest.raises(RuntimeError, match='middle'):
        heat_maps(learn, data.train[:3], layer=learn.model[3])
    with pytest.raises(ValueError, match='no map'): heat_maps(learn, data.train[:3], layer=learn.model[5])
    with pytest.raises(ValueError, match='no map'): heat_maps(learn, data.train[:3], layer=nn.Conv2d(3, 3, 3))
    with pytest.raises(Exception): heat_maps(learn, [data.train[0], data.path/'none.jpg'], layer=learn.model[3])
    assert state(learn) == before


def test_what_cannot_be_mapped_is_said_in_words(learn, data):
    with pytest.raises(ValueError, match='no pictures'): heat_maps(learn, [], layer=learn.model[3])
    with pytest.raises(ValueError, match='layer='): heat_maps(learn, data.train[:1])


@pytest.mark.parametrize('arch', ['resnet18', 'tf_efficientnet_lite0'])
def test_networks_of_vision_learner(data, arch):
    dls = get_dls(data, get_settings(data, size=64, bs=16, fast=arch != 'resnet18'))
    learn = vision_learner(dls, get_backbone(arch), pretrained=False)
    learn.freeze()
    for p in learn.model[0].parameters(): p.requires_grad_(False) # the normalisation, too
    learn.model.to(memory_format=torch.channels_last)
    before, files = state(learn), data.train[:20]
    last = [layer for layer in learn.model[0].modules() if isinstance(layer, nn.Conv2d)][-1]
    heats = heat_maps(learn, files)
    assert heats.shape == (20, 64, 64) and np.isfinite(heats).all() and 0 <= heats.min() and heats.max() <= 1
    assert heat_maps(learn, files[:2], layer=last).shape == (2, 64, 64)
    assert state(learn) == before


def test_layers_before_one_that_changes_them_in_place(dls, data):
    "Also in a frozen network"
    layers = nn.Conv2d(3, 8, 3), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 29)
    learn = Learner(dls, nn.Sequential(*layers))
    for p in learn.model.parameters(): p.requires_grad_(False)
    assert np.isfinite(heat_maps(learn, data.train[:2], layer=learn.model[0])).all()


def test_maps_are_spread_without_changing_where_they_are():
    cells = torch.tensor([[[0, 0, 1e-30]]*2, [[3, 0, 0]]*2])
    large = spread(cells, (8, 12))
    assert large.shape == (2, 8, 12) and large.amax((1, 2)).tolist() == [1, 1]
    assert large[0, :, :4].max() == 0 and large[1, :, 8:].max() == 0


def test_heat_at_the_edge_by_hand():
    corner, middle = np.zeros((1, 4, 4)), np.zeros((1, 4, 4))
    corner[0, 0, 0], middle[0, 1, 2] = 2, .5
    assert heat_at_edge(np.concatenate([corner, middle, corner + 4*middle]), .25).tolist() == [1, 0, .5]
    assert np.allclose(heat_at_edge(corner, .125), .75) # a quarter of that pixel is further inside
    for shape in ((3, 3), (48, 48), (7, 30)): assert np.allclose(heat_at_edge(np.ones((1, *shape))), 1 - .7**2)
    assert np.allclose(heat_at_edge(np.float32(corner), 0), 0)


def first_of(data, sign, how_many): return [file for file in data.train if parent_label(file) == sign][:how_many]


def test_what_is_compared_does_not_depend_on_chance(learn, data):
    "The network below reads every other picture as A, and the next as B"
    files = first_of(data, 'A', 4) + first_of(data, 'B', 4)
    with patch.object(heatmaps, '_read_signs', lambda learn, files: ['A', 'B']*(len(files)//2)):
        figure = plot_right_and_wrong(learn, files, layer=learn.model[3], caption='drawn')
        assert [axis.get_title() for axis in figure.axes] == ['A (A)', 'B (B)', '', '', 'B (A)', 'A (B)', '', '']
        assert all(len(axis.images) == 1 for axis in figure.axes)
        assert len(plot_right_and_wrong(learn, files, layer=learn.model[3], most=1).axes) == 4
        with pytest.raises(ValueError, match='none'):
            plot_right_and_wrong(learn, first_of(data, 'C', 4), layer=learn.model[3])


def test_the_picture_above_its_map_is_what_the_network_gets(learn, tmp_path):
    wide = Image.fromarray(np.uint8(np.linspace(0, 255, 96*32).reshape(32, 96)[..., None].repeat(3, 2)))
    files = [tmp_path/'A'/f'{n}.png' for n in (1, 2)]
    files[0].parent.mkdir()
    for file in files: wide.save(file)
    with patch.object(heatmaps, '_read_signs', lambda learn, files: ['A', 'B']):
        seen = plot_right_and_wrong(learn, files, layer=learn.model[3]).axes[0].images[0].get_array()
    assert seen.shape[:2] == (32, 32) and abs(np.int16(seen)[..., :3] - np.int16(wide)[:, 32:64]).max() < 3
