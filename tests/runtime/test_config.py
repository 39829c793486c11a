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
from asl_signs.runtime.bundle import NETWORKS, BundleError, read_bundle, seal_of, sealed
from asl_signs.runtime.config import ReadingConfig, View, config_values
from asl_signs.runtime.crops import contrast
from asl_signs.runtime.finder import HandFinder
from asl_signs.runtime.landmarks import film_hands, to_row

FIELDS = [field.name for field in fields(ReadingConfig)]
BASE = ReadingConfig(weights=(.5, 1), prior=np.log(np.arange(1, 30)/435).tolist(), kv_coefficients=(8, 2))


def graph(nodes, given, out, **tensors):
    "A network as an ONNX file; its arithmetic is in the opset's terms"
    from onnx import TensorProto, helper, numpy_helper
    kinds = dict(pictures=TensorProto.UINT8, landmarks=TensorProto.FLOAT)
    given = [helper.make_tensor_value_info(name, kinds[name], shape) for name, shape in given.items()]
    out = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in out.items()]
    weights = [numpy_helper.from_array(np.asarray(values), name) for name, values in tensors.items()]
    nodes = [helper.make_node(kind, ins.split(), [to], **how) for kind, ins, to, how in nodes]
    made = helper.make_graph(nodes, 'small', given, out, weights)
    return helper.make_model(made, opset_imports=[helper.make_opsetid('', 18)], ir_version=9).SerializeToString()


_COLOURS = [('Cast', 'pictures', 'numbers', dict(to=1)), ('Slice', 'numbers from to across', 'left', {}),
            ('ReduceMin', 'numbers axes', 'dark', dict(keepdims=0)),
            ('ReduceMean', 'left axes', 'mean', dict(keepdims=0)), ('Add', 'dark mean', 'colours', {})]
_AXES = {'axes': np.int64([1, 2]), 'from': np.int64([0]), 'to': np.int64([-40]), 'across': np.int64([2])}

def pixel_network(size='size'):
    "The pixel model in small: by the colours without the last columns, and the darkest pixel, of a square"
    rng = np.random.default_rng(0)
    nodes = [*_COLOURS, ('MatMul', 'colours signs_of', 'logits', {}), ('LogSoftmax', 'logits', 'signs', dict(axis=1)),
             ('MatMul', 'mean places_of', 'moved', {}), ('Add', 'moved places', 'flat', {}),
             ('Reshape', 'flat shape', 'points', {})]
    return graph(nodes, dict(pictures=['n', size, size, 3]), dict(signs=['n', 29], points=['n', 21, 2]), **_AXES,
                 signs_of=np.float32(rng.normal(size=(3, 29))/200), places=np.float32(rng.uniform(-.4, .4, 42)),
                 places_of=np.float32(rng.normal(size=(3, 42))/1e4), shape=np.int64([0, 21, 2]))

def landmark_network(outputs=29):
    "The landmark model in small; with 58 outputs, of an older bundle"
    weights = np.random.default_rng(1).normal(size=(126, outputs))
    nodes = [('Reshape', 'landmarks shape', 'row', {}), ('MatMul', 'row signs_of', 'logits', {}),
             ('LogSoftmax', 'logits', 'signs', dict(axis=1))]
    return graph(nodes, dict(landmarks=['n', 2, 21, 3]), dict(signs=['n', outputs]), shape=np.int64([0, 126]),
                 signs_of=np.float32(weights/4))

def detector_network(size='size'):
    "The hand detector in small: places by the colours of a picture, and how many pixels it has"
    nodes = [('Cast', 'pictures', 'numbers', dict(to=1)), ('ReduceSum', 'numbers axes', 'sum', dict(keepdims=0)),
             ('MatMul', 'sum places_of', 'moved', {}), ('Add', 'moved usual', 'squares', {})]
    return graph(nodes, dict(pictures=['n', size, size, 3]), dict(squares=['n', 3]),
                 axes=_AXES['axes'],
                 places_of=np.float32(np.random.default_rng(2).normal(size=(3, 3))/1e7), usual=np.float32([.1, 0, .6]))


FILES = {'pixels.onnx': pixel_network(), 'landmarks.onnx': landmark_network()}
DETECTOR = {'detector.onnx': detector_network()}
EITHER_HAND = {'landmarks.onnx': landmark_network(58)}
OLDER = {'sight.onnx': FILES['pixels.onnx'], 'joints.onnx': EITHER_HAND['landmarks.onnx']} # of versions 1 and 2


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
    'both_ways': ((False, True), SMALL, WHOLE),
    'resampling': ('bilinear', SMALL, WHOLE),
    'detector_size': (64, SMALL, WHOLE),
    'weights': ((.1, 1), SMALL, dict(finder=V)),
    'pixel_weight': (.3, SMALL, WHOLE),
    'thresholds': ((1, 1), SMALL, WHOLE),
    'prior': (ReadingConfig.prior, SMALL, dict(finder=NONE)),
    'kv_signs': (('V', 'A'), SMALL, dict(finder=V)),
    'kv_coefficients': ((-8, -2), SMALL, dict(finder=V))}
MORE = dict(left_prior=EITHER_HAND, detector_size=DETECTOR) # files that a field needs


def bundle_with(folder, reading, files=FILES, **about):
    "A bundle on the disk, sealed, with this in its reader.json"
    folder.mkdir(parents=True)
    for name, content in files.items(): (folder/name).write_bytes(content)
    description = dict(reading=reading, precision='float16', facts={}, versions={})
    (folder/'reader.json').write_text(sealed(description | about, files))
    return folder


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
    files = FILES | MORE.get(name, {})
    before = bundle_with(tmp_path/'before', config_values(BASE), files)
    after = bundle_with(tmp_path/'after', config_values(replace(BASE, **{name: value})), files)
    one, again, other = (answer(folder, picture, how) for folder in (before, before, after))
    assert one == again != other


@pytest.mark.parametrize('files', [FILES, FILES | EITHER_HAND], ids=['29', '58'])
@pytest.mark.parametrize('weights', [(1, 0), (0, 1)], ids=['landmarks', 'pixels'])
def test_with_hands_both_models_read_both_ways(weights, files, tmp_path):
    configs = [replace(BASE, weights=weights, both_ways=(both, False)) for both in (False, True)]
    folders = [bundle_with(tmp_path/str(config.both_ways[0]), config_values(config), files) for config in configs]
    one, other = (answer(folder, SMALL, dict(finder=V)) for folder in folders)
    assert one != other
    assert answer(folders[0], SMALL, WHOLE) == answer(folders[1], SMALL, WHOLE)


def test_the_mirror_image_is_read_alike_if_both_ways_are(tmp_path):
    config = replace(BASE, both_ways=(False, True), max_crops=1)
    reader = SignReader(bundle_with(tmp_path/'one', config_values(config)), hands=False)
    turned = SMALL.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    np.testing.assert_allclose(*(reader.probabilities([one], progress=False) for one in (SMALL, turned)), atol=1e-4)


def test_a_detector_is_used_where_there_is_no_hand(tmp_path):
    folders = [bundle_with(tmp_path/str(len(files)), config_values(BASE), files) for files in (FILES, FILES | DETECTOR)]
    for how, alike in ((WHOLE, False), (dict(finder=NONE), False), (dict(finder=V), True)):
        one, other = (answer(folder, SMALL, how) for folder in folders)
        assert (one == other) == alike


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
    plain = replace(BASE, enough=0, near=0, faint=11) # so that no contrast is raised
    doubled = replace(plain, std=(.5, .5, .5))
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
    fixed = {'pixels.onnx': pixel_network(144), 'detector.onnx': detector_network(96)}
    for name in 'size', 'detector_size':
        folder = bundle_with(tmp_path/name, config_values(replace(BASE, **{name: 64})), FILES | fixed)
        with pytest.raises(BundleError, match=f'"{name}"'): SignReader(folder, hands=False).read(SMALL)


def test_a_network_of_fewer_signs_is_refused(tmp_path):
    folder = bundle_with(tmp_path/'one', config_values(BASE), FILES | {'landmarks.onnx': landmark_network(26)})
    with pytest.raises(BundleError, match='knows 26 signs instead of 29'): SignReader(folder, finder=V).read(SMALL)


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
    'both_ways': [True, [True], [True, 1], [True]*3],
    'resampling': ['nearest', 'BICUBIC', ['bicubic']],
    'detector_size': [0, 96., 10_000],
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


# Versions 1 and 2

CROP = dict(whole=.95, factor=1.6, least=.25, most=1.2, beyond='edges are repeated', near=1/3, enough=.8, looks=4)

def version_1(folder, config=BASE, crop=CROP, normalisation='in the graph: bytes', **changes):
    "A bundle as version 1 wrote it"
    bundle_with(folder, {}, OLDER)
    files = json.loads((folder/'reader.json').read_text())['files']
    about = dict(format='asl_signs reader', version=1, signs=[*config.signs], size=config.size, colours='RGB',
                 normalisation=normalisation, crop=crop, weights=[*config.weights], alone=float(config.pixel_weight),
                 sure=[*config.thresholds], no_hand=[*config.prior], judge=[*config.kv_coefficients],
                 facts={}, versions={}, files=files)
    about = json.loads(json.dumps(about | changes))
    (folder/'reader.json').write_text(json.dumps(about | dict(seal=seal_of(about))))
    return folder


SINCE_3 = 'both_ways', 'resampling', 'detector_size'

def version_2(folder, config=BASE):
    "A bundle as version 2 wrote it"
    reading = {name: value for name, value in config_values(config).items() if name not in SINCE_3}
    return bundle_with(folder, reading, OLDER, version=2)


@pytest.mark.parametrize('older', [version_1, version_2])
@pytest.mark.parametrize('how', [WHOLE, dict(finder=V), dict(finder=NONE)], ids=['whole', 'a hand', 'no hand'])
def test_older_versions_are_read_as_they_were_meant(older, how, tmp_path):
    assert read_bundle(older(tmp_path/'older')).config == BASE
    now = bundle_with(tmp_path/'now', config_values(BASE), FILES | EITHER_HAND)
    assert answer(tmp_path/'older', SMALL, how) == answer(now, SMALL, how)


def test_version_2_is_obeyed(tmp_path):
    one, other = version_2(tmp_path/'one'), version_2(tmp_path/'other', replace(BASE, first_crop=.6))
    assert answer(one, SMALL, WHOLE) != answer(other, SMALL, WHOLE)


@pytest.mark.parametrize('name', [name for name in FIELDS if name not in SINCE_3])
def test_version_2_needs_all_that_it_had(name, tmp_path):
    reading = {other: value for other, value in config_values(BASE).items() if other not in (name, *SINCE_3)}
    bundle = bundle_with(tmp_path/'one', reading, OLDER, version=2)
    with pytest.raises(BundleError, match=f'"{name}"'): read_bundle(bundle)


def test_networks_have_the_names_of_their_version(tmp_path):
    newer, older = config_values(BASE), {n: v for n, v in config_values(BASE).items() if n not in SINCE_3}
    for version, reading, files, absent in ((3, newer, OLDER, 'pixels.onnx'), (2, older, FILES, 'sight.onnx')):
        folder = bundle_with(tmp_path/str(version), reading, files, version=version)
        with pytest.raises(BundleError, match=f'does not name {absent}'): read_bundle(folder)


@pytest.mark.parametrize('changes', [
    dict(colours='BGR'), dict(crop=CROP | dict(whole=.4)), dict(crop=CROP | dict(looks=1)),
    dict(crop=CROP | dict(least=.8)), dict(alone=.2)], ids=str)
def test_version_1_is_obeyed(changes, tmp_path):
    one, other = version_1(tmp_path/'one'), version_1(tmp_path/'other', **changes)
    assert answer(one, SMALL, WHOLE) != answer(other, SMALL, WHOLE)


@pytest.mark.parametrize('changes,said', [
    (dict(crop=dict(whole=.95)), '"factor"'), (dict(normalisation='outside'), 'normalisation='),
    (dict(sure=[77, 74]), 'thresholds='), (dict(colours='XYZ'), 'colours='), (dict(judge=[1]), 'kv_coefficients=')],
    ids=str)
def test_version_1_that_cannot_be_right_is_refused(changes, said, tmp_path):
    with pytest.raises(BundleError, match=said): SignReader(version_1(tmp_path/'one', **changes))
