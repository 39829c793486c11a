"""MediaPipe's network in PyTorch"""
import json, os, sys
from importlib.util import find_spec
from pathlib import Path
import numpy as np
import pytest
import torch
from asl_signs.runtime.landmarks import HandsError
from asl_signs.models.landmarker import BLOCKS, Block, LandmarkNet, SameConv, in_order, landmark_net, network_in
from asl_signs.models.pixels import LANDMARKER, PixelNet, recipe

ROOT = Path(__file__).resolve().parents[2]
PLACES = os.environ.get('ASL_SIGNS_HAND_MODEL'), ROOT.parent/'shared'/'data'/'hand_landmarker.task'
TASK = next((file for file in PLACES if file and Path(file).exists()), None)
mediapipe = pytest.mark.skipif(not (TASK and find_spec('mediapipe')),
                               reason='needs mediapipe, and its weights in ASL_SIGNS_HAND_MODEL or ../shared/data')


@mediapipe
def test_it_says_what_the_original_says(monkeypatch):
    monkeypatch.syspath_prepend(ROOT/'bench'/'measure')
    from landmarker import FILE, pictures
    with torch.no_grad(): features = landmark_net(TASK)(torch.from_numpy(pictures()[:3]))
    np.testing.assert_allclose(features[:, :8], json.loads(FILE.read_text())['first'][:3], atol=2e-3)


@mediapipe
def test_every_number_of_the_file_is_used():
    torch.manual_seed(0)
    drawn, filled = LandmarkNet(), landmark_net(TASK)
    assert not any(torch.equal(a, b) for a, b in zip(drawn.parameters(), filled.parameters()))


def test_without_mediapipe_it_is_said_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, 'mediapipe.tasks.metadata.schema_py_generated', None)
    with pytest.raises(HandsError, match='pip install'): network_in(tmp_path/'any.task')


def test_without_the_file_it_is_said_where_to_get_it(tmp_path):
    if not find_spec('mediapipe'): pytest.skip('needs mediapipe')
    with pytest.raises(HandsError, match='no.task'): landmark_net(tmp_path/'no.task')


@pytest.mark.parametrize('side,kernel,stride', [(10, 3, 2), (11, 3, 2), (14, 5, 2), (7, 5, 1), (1, 3, 2)])
def test_padding_is_that_of_tensorflow(side, kernel, stride):
    "The documented rule: ceil(side/stride) come out, and the smaller half of what is missing is added in front"
    conv, x = SameConv(1, 1, kernel, stride), torch.rand(1, 1, side, side)
    out = -(-side//stride)
    missing = max(0, (out - 1)*stride + kernel - side)
    wide = np.pad(x[0, 0].numpy(), [(missing//2, missing - missing//2)]*2)
    weight = conv.weight.detach()[0, 0].numpy()
    def at(i, j): return (wide[i*stride:i*stride + kernel, j*stride:j*stride + kernel]*weight).sum() + conv.bias.item()
    expected = [[at(i, j) for j in range(out)] for i in range(out)]
    np.testing.assert_allclose(conv(x)[0, 0].detach(), expected, atol=1e-5)


def test_blocks_fit_together_and_shortcuts_are_where_nothing_changes():
    assert all(before[2] == after[0] for before, after in zip(BLOCKS, BLOCKS[1:]))
    x = torch.rand(1, 8, 6, 6)
    block = Block(8, 16, 8, 3, 1)
    torch.testing.assert_close(block(x), x + block.layers(x))
    assert not Block(8, 16, 8, 3, 2).shortcut and not Block(8, 16, 9, 3, 1).shortcut


def test_weights_are_turned_the_right_way():
    usual, apart = torch.rand(5, 3, 3, 2), torch.rand(1, 3, 3, 4)
    assert in_order(usual).shape == (5, 2, 3, 3) and in_order(apart).shape == (4, 1, 3, 3)
    assert in_order(usual)[4, 1, 0, 2] == usual[4, 0, 2, 1] and in_order(apart)[3, 0, 1, 2] == apart[0, 1, 2, 3]


def test_a_saved_network_needs_no_file():
    net = PixelNet(LANDMARKER, pretrained=False)
    again = PixelNet(LANDMARKER, pretrained=False)
    again.load_state_dict(net.state_dict())
    x = torch.rand(1, 3, net.size, net.size)
    with torch.no_grad(): torch.testing.assert_close(again.eval()(x)[0], net.eval()(x)[0])


def test_recipes():
    assert recipe('resnet18') == recipe('anything') != recipe(LANDMARKER)
    assert PixelNet('resnet18', pretrained=False).size == 96 and PixelNet(LANDMARKER, pretrained=False).size == 144
