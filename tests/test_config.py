"What decides at reading is in the bundle and is obeyed: each value changes an answer; wrong ones are refused"
import json
from dataclasses import fields, replace
import numpy as np
import pytest
from PIL import Image
from asl_signs.core.signs import SIGNS
from asl_signs.datasets import drawing
from asl_signs.datasets.drawing import portrait
from asl_signs.inference import SignReader
from asl_signs.runtime.bundle import NETWORKS, BundleError, read_bundle, seal_of, sealed, shipped_bundle
from asl_signs.runtime.config import ReadingConfig, View, config_values
from asl_signs.runtime.crops import contrast
from asl_signs.runtime.finder import HandFinder
from asl_signs.runtime.landmarks import film_hands, to_row

FIELDS = [field.name for field in fields(ReadingConfig)]
SHIPPED = read_bundle(shipped_bundle())
BASE = replace(SHIPPED.config, thresholds=(0, 0)) # so that there always is an answer


class Fixed:
    "Stands in for MediaPipe: finds the same hand in every picture, or none"
    def __init__(self, hand): self.row = to_row(hand, 200)
    def look(self, picture): return self.row[None]

def fake_detect(self, pixels):
    "Stands in for MediaPipe's network: what it finds depends on what it is shown, and on its threshold"
    hand, shift = film_hands()['V'], pixels.std()/2e3 + len(pixels)/2e4 + self.confidence/2
    return hand.landmarks/200*(.6 + shift), hand.world, False, .9


def dimmed(picture, share): return picture.point([round(100 + share*level) for level in range(256)]*3)

SMALL = portrait('V', drawing.View(scale=.06, x=.6, y=.45), 160) # takes several crops
FAINT, DULL = dimmed(SMALL, .15), dimmed(SMALL, .03)
V, NONE = Fixed(film_hands()['V']), Fixed(None)
WHOLE, MEDIAPIPE = dict(hands=False), dict(hands=True) # of `SignReader`

CASES = { # field -> another value, the picture that shows it, and how it is read
    'signs': (SIGNS[1:] + SIGNS[:1], SMALL, WHOLE),
    'size': (96, SMALL, WHOLE),
    'colours': ('BGR', SMALL, WHOLE),
    'mean': ((40, 0, 0), SMALL, WHOLE),
    'std': ((1, 2, 1), SMALL, WHOLE),
    'longest': (100, SMALL, WHOLE),
    'tail': (.2, FAINT, WHOLE),
    'flat': (39, FAINT, WHOLE),
    'faint': (11, FAINT, WHOLE),
    'stretched': ((10, 250), FAINT, WHOLE),
    'flat_weight': (.5, DULL, WHOLE),
    'first_crop': (.6, SMALL, WHOLE),
    'crop_factor': (2.5, SMALL, dict(finder=V)),
    'crop_limits': ((.7, 1.2), SMALL, WHOLE),
    'near': (.9, SMALL, WHOLE),
    'enough': (0, SMALL, WHOLE),
    'max_crops': (1, SMALL, WHOLE),
    'views': ((View(.3, .01, .6),)*4, SMALL, MEDIAPIPE),
    'default_views': (1, SMALL, MEDIAPIPE),
    'view_side': (160, SMALL, MEDIAPIPE),
    'hand_confidence': (.5, SMALL, MEDIAPIPE),
    'left_prior': (.9, SMALL, dict(finder=V)),
    'weights': ((.1, 1), SMALL, dict(finder=V)),
    'pixel_weight': (.3, SMALL, WHOLE),
    'thresholds': ((1, 1), SMALL, WHOLE),
    'prior': (ReadingConfig.prior, SMALL, dict(finder=NONE)),
    'kv_signs': (('V', 'A'), SMALL, dict(finder=V)),
    'kv_coefficients': ((-8, -2), SMALL, dict(finder=V))}


def bundle_with(folder, reading, files=SHIPPED.files, **about):
    "A bundle on the disk, sealed, with this in its reader.json"
    folder.mkdir(parents=True)
    for name, content in files.items(): (folder/name).write_bytes(content)
    description = dict(reading=reading, precision='float16', facts={}, versions={})
    (folder/'reader.json').write_text(sealed(description | about, files))
    return folder


def network_of_any_size():
    "The pixel model in small: it answers by the colours and the darkest pixel of a square of any size"
    from onnx import TensorProto, helper, numpy_helper
    rng = np.random.default_rng(0)
    tensors = dict(axes=np.int64([1, 2]), signs_of=np.float32(rng.normal(size=(3, 29))/20),
                   zero=np.zeros((3, 42), np.float32), shape=np.int64([0, 21, 2]))
    nodes = [helper.make_node('Cast', ['pictures'], ['numbers'], to=TensorProto.FLOAT),
             helper.make_node('ReduceMin', ['numbers', 'axes'], ['dark'], keepdims=0),
             helper.make_node('ReduceMean', ['numbers', 'axes'], ['mean'], keepdims=0),
             helper.make_node('Add', ['dark', 'mean'], ['colours']),
             helper.make_node('MatMul', ['colours', 'signs_of'], ['logits']),
             helper.make_node('LogSoftmax', ['logits'], ['signs'], axis=1),
             helper.make_node('MatMul', ['mean', 'zero'], ['flat']),
             helper.make_node('Reshape', ['flat', 'shape'], ['joints'])]
    given = helper.make_tensor_value_info('pictures', TensorProto.UINT8, ['n', 'size', 'size', 3])
    out = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
           for name, shape in (('signs', ['n', 29]), ('joints', ['n', 21, 2]))]
    weights = [numpy_helper.from_array(values, name) for name, values in tensors.items()]
    graph = helper.make_graph(nodes, 'any', [given], out, weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid('', 18)], ir_version=9).SerializeToString()


def answer(folder, picture, how):
    "All of a reading but how long it took"
    reading = SignReader(folder, **how).read(picture)
    return replace(reading, ms=0)


def test_every_field_has_its_cases(): assert {*CASES} == {*WRONG} == {*FIELDS}


def test_the_pictures_are_what_they_are_meant_to_be():
    assert contrast(DULL) < BASE.flat < contrast(FAINT) < BASE.faint < contrast(SMALL)


@pytest.mark.parametrize('name', FIELDS)
def test_another_value_gives_another_answer(name, tmp_path, monkeypatch):
    monkeypatch.setattr('asl_signs.runtime.reader.reason_against_hands', lambda: '')
    monkeypatch.setattr(HandFinder, 'detect', fake_detect)
    value, picture, how = CASES[name]
    files = SHIPPED.files | ({'sight.onnx': network_of_any_size()} if name == 'size' else {})
    before = bundle_with(tmp_path/'before', config_values(BASE), files)
    after = bundle_with(tmp_path/'after', config_values(replace(BASE, **{name: value})), files)
    one, again, other = (answer(folder, picture, how) for folder in (before, before, after))
    assert one == again != other


def test_what_is_written_is_what_is_read(tmp_path):
    config = replace(BASE, size=96, colours='BGR', views=[View(0, 0, 1)], default_views=1, kv_coefficients=())
    assert read_bundle(bundle_with(tmp_path/'one', config_values(config))).config == config


def test_another_order_of_the_signs_renames_them(tmp_path):
    turned = SIGNS[1:] + SIGNS[:1]
    configs = [replace(BASE, signs=signs, kv_coefficients=()) for signs in (SIGNS, turned)]
    folders = [bundle_with(tmp_path/config.signs[0], config_values(config)) for config in configs]
    for how in (WHOLE, dict(finder=V)):
        one, other = (SignReader(folder, **how).probabilities([SMALL], progress=False)[0] for folder in folders)
        np.testing.assert_allclose(other[[SIGNS.index(sign) for sign in turned]], one, atol=1e-6)


def test_brightness_that_is_normalised_outside_is_seen_as_before(tmp_path):
    "Half as bright pixels, doubled: but for rounding, what the network knows"
    plain, doubled = replace(BASE, enough=0, near=0), replace(BASE, enough=0, near=0, std=(.5, .5, .5))
    readers = [SignReader(bundle_with(tmp_path/name, config_values(config)), hands=False)
               for name, config in (('plain', plain), ('doubled', doubled))]
    half = Image.fromarray(np.asarray(SMALL)//2)
    assert readers[1].read(half).confidence == pytest.approx(readers[0].read(SMALL).confidence, abs=.05)


def test_blue_first_is_what_a_network_for_blue_first_sees(tmp_path):
    pixels = np.asarray(SMALL)
    configs = [replace(BASE, colours=colours) for colours in ('RGB', 'BGR')]
    folders = [bundle_with(tmp_path/config.colours, config_values(config)) for config in configs]
    plain, turned = (SignReader(folder, hands=False) for folder in folders)
    assert turned.read(pixels[..., ::-1]).confidence == pytest.approx(plain.read(pixels).confidence, abs=1e-6)


def test_some_crop_always_counts(tmp_path):
    "None is near enough within so few: the last one counts all the same"
    folder = bundle_with(tmp_path/'one', config_values(replace(BASE, near=1, max_crops=1)))
    assert 0 < SignReader(folder, hands=False).read(SMALL).confidence <= 1


def test_a_size_that_the_network_does_not_take_is_refused(tmp_path):
    folder = bundle_with(tmp_path/'one', config_values(replace(BASE, size=96)))
    with pytest.raises(BundleError, match='"size"'): SignReader(folder, hands=False).read(SMALL)


def test_a_network_of_fewer_signs_is_refused(tmp_path):
    files = SHIPPED.files | {'joints.onnx': SHIPPED.files['sight.onnx']}
    folder = bundle_with(tmp_path/'one', config_values(BASE), files)
    with pytest.raises(BundleError, match='network of this bundle'): SignReader(folder, finder=V).read(SMALL)


# What is refused

NOWHERE = None, True, 'x', {}, float('nan'), 1e9, -1e9, [None], ['A', 'A'], [1, 2, 3, 4, 5] # right for no field
WRONG = { # field -> further values that are wrong
    'signs': [SIGNS[:26], [*SIGNS, '?'], [*SIGNS[:28], 'A']],
    'size': [0, 144., 10_000],
    'colours': ['rgb', 'GRB', ['R', 'G', 'B']],
    'mean': [0, [0, 0], [0, 0, float('nan')]],
    'std': [1, [1, 1, 0], [1, 1, -1]],
    'longest': [0, 1024.],
    'tail': [.5, -.01],
    'flat': [0, 300],
    'faint': [0, 9],
    'stretched': [[200, 40], [0, 256], [0]],
    'flat_weight': [1.1],
    'first_crop': [0],
    'crop_factor': [0],
    'crop_limits': [[1.2, .25], [0, 1]],
    'near': [1.01],
    'enough': [80],
    'max_crops': [0, 2.5, 101],
    'views': [[], [dict(margin=1)], [dict(margin=-1, soft=0, gamma=1)], [dict(margin=0, soft=0, gamma=0)], 4],
    'default_views': [0, 5, 1.5],
    'view_side': [0, 224.],
    'hand_confidence': [5],
    'left_prior': [0, 1],
    'weights': [[1], [1, -1], 1],
    'pixel_weight': [-1, [1]],
    'thresholds': [[77, 74], [.5], .5],
    'prior': [[0]*29, [-3.4]*28, [float('nan')]*29, [-1.]*29],
    'kv_signs': ['KV', ['K'], ['K', 'K'], ['K', 'k']],
    'kv_coefficients': [[1], 'KV', [1, None]]}


@pytest.mark.parametrize('name', FIELDS)
def test_what_cannot_be_right_is_refused_by_name(name, tmp_path):
    there = json.loads(json.dumps(config_values(BASE)))
    for i, value in enumerate([*NOWHERE, *WRONG[name]]):
        folder = bundle_with(tmp_path/str(i), there | {name: value}, {name: b'' for name in NETWORKS})
        with pytest.raises(BundleError, match=f'{name}=') as error: SignReader(folder)
        assert 'reader.json' in str(error.value) and 'Export' in str(error.value)


@pytest.mark.parametrize('name', FIELDS)
def test_what_is_missing_is_refused_by_name(name, tmp_path):
    reading = {other: value for other, value in config_values(BASE).items() if other != name}
    with pytest.raises(BundleError, match=f'"{name}"'): SignReader(bundle_with(tmp_path/'one', reading))


def test_what_this_version_does_not_know_is_not_passed_over(tmp_path):
    folder = bundle_with(tmp_path/'one', config_values(BASE) | dict(flash=True))
    with pytest.raises(BundleError, match='"flash".*pip install -U'): SignReader(folder)


def test_a_configuration_that_is_no_table_is_refused(tmp_path):
    with pytest.raises(BundleError, match='"reading"'): SignReader(bundle_with(tmp_path/'one', [1, 2]))


# Version 1

CROP = dict(whole=.95, factor=1.6, least=.25, most=1.2, beyond='edges are repeated', near=1/3, enough=.8, looks=4)

def version_1(folder, config=SHIPPED.config, crop=CROP, normalisation='in the graph: bytes', **changes):
    "A bundle as version 1 wrote it"
    bundle_with(folder, {})
    files = json.loads((folder/'reader.json').read_text())['files']
    about = dict(format='asl_signs reader', version=1, signs=[*config.signs], size=config.size, colours='RGB',
                 normalisation=normalisation, crop=crop, weights=[*config.weights], alone=config.pixel_weight,
                 sure=[*config.thresholds], no_hand=[*config.prior], judge=[*config.kv_coefficients],
                 facts={}, versions={}, files=files)
    about = json.loads(json.dumps(about | changes))
    (folder/'reader.json').write_text(json.dumps(about | dict(seal=seal_of(about))))
    return folder


def test_version_1_is_read_as_it_was_meant(tmp_path):
    assert read_bundle(version_1(tmp_path/'one')).config == SHIPPED.config
    assert answer(tmp_path/'one', SMALL, WHOLE) == answer(None, SMALL, WHOLE)


@pytest.mark.parametrize('changes', [
    dict(colours='BGR'), dict(crop=CROP | dict(whole=.4)), dict(crop=CROP | dict(looks=1)),
    dict(crop=CROP | dict(least=.8)), dict(alone=.2)], ids=str)
def test_version_1_is_obeyed(changes, tmp_path):
    assert answer(version_1(tmp_path/'one', **changes), SMALL, WHOLE) != answer(None, SMALL, WHOLE)


@pytest.mark.parametrize('changes,said', [
    (dict(crop=dict(whole=.95)), '"factor"'), (dict(normalisation='outside'), 'normalisation='),
    (dict(sure=[77, 74]), 'thresholds='), (dict(colours='XYZ'), 'colours='), (dict(judge=[1]), 'kv_coefficients=')],
    ids=str)
def test_version_1_that_cannot_be_right_is_refused(changes, said, tmp_path):
    with pytest.raises(BundleError, match=said): SignReader(version_1(tmp_path/'one', **changes))
