"The scripts that made results/: each can be imported, says what it takes, and does its work on a few drawn pictures"
import importlib, json, os, re, sys, tracemalloc
from dataclasses import replace
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
import numpy as np
import pytest
from PIL import ImageOps
from asl_signs.core.signs import number_of, sign_of
from asl_signs.data import get_data
from asl_signs.datasets.drawing import portrait
from asl_signs.datasets.sample import draw_sample

ROOT = Path(__file__).resolve().parent.parent
MEASURE = ROOT/'bench'/'measure'
SCRIPTS = sorted(file.stem for file in MEASURE.glob('*.py') if file.stem != 'measuring')
NEEDS = dict(spell='playwright') # what a script imports that not every machine has
CODE = {'.py', '.sh', '.js', '.ipynb'}
HANDS = pytest.mark.skipif(not (find_spec('mediapipe') and os.environ.get('ASL_SIGNS_HAND_MODEL')),
                           reason='needs mediapipe, and ASL_SIGNS_HAND_MODEL')


@pytest.fixture(autouse=True)
def place(monkeypatch, tmp_path):
    "Scripts are found as when they are started, and nothing is cached beside this test's folder"
    monkeypatch.setattr(sys, 'path', [str(MEASURE), *sys.path])
    monkeypatch.setenv('ASL_SIGNS_CACHE', str(tmp_path/'cache'))


def script(name):
    "A script, imported"
    if name in NEEDS: pytest.importorskip(NEEDS[name])
    return importlib.import_module(name)


@pytest.fixture(scope='module')
def pictures(tmp_path_factory):
    "Drawn stand-ins for both archives"
    return draw_sample(tmp_path_factory.mktemp('pictures')/'drawn', frames=12, pictures=2, side=64)


@pytest.fixture
def film(pictures): return get_data(pictures, sets=['train']).train


@pytest.mark.parametrize('name', SCRIPTS)
def test_importing_does_nothing_and_help_says_what_is_measured(name, capsys):
    module = script(name)
    with pytest.raises(SystemExit) as end: module.main(['--help'])
    said = capsys.readouterr().out
    assert end.value.code == 0 and module.__doc__.split('\n')[0] in said and f'bench/measure/{name}.py' in said


def test_results_hold_no_code():
    assert [str(file) for file in (ROOT/'results').rglob('*') if file.suffix in CODE] == []
    kinds = {file.suffix for file in (ROOT/'results').rglob('*') if file.is_file() and '__pycache__' not in file.parts}
    assert kinds <= {'.json', '.pth', '.md'}


def test_what_comes_with_the_library_is_what_was_measured():
    shown = ROOT/'asl_signs'/'metrics'/'measured'
    copies = [*shown.rglob('*.json')]
    assert len(copies) == 8
    for copy in copies: # copy it again from results/ where this fails
        assert copy.read_bytes() == (ROOT/'results'/copy.relative_to(shown)).read_bytes()


def test_scripts_that_texts_name_exist():
    texts = [*(ROOT/'results').rglob('*.md'), *(ROOT/'results').rglob('*.json'), *(ROOT/'nbs').glob('*.ipynb')]
    named = {name for file in [*texts, ROOT/'README.md', ROOT/'CONTRIBUTING.md', ROOT/'Makefile']
             for name in re.findall(r'\b(?:bench|results|tests|tools)/[\w/]+\.py', file.read_text(encoding='utf-8'))}
    assert len(named) > 9 and [name for name in named if not (ROOT/name).exists()] == []


def test_the_film_is_measured(pictures, monkeypatch):
    module, split = script('film'), script('film').take_splitter
    monkeypatch.setattr(module, 'take_splitter', lambda first, last, gap: split(5, 8, 0)) # of twelve frames
    found = module.measure_similarity(get_data(pictures, sets=['train']))
    assert found['frames'] == 12*29 and [one['gap'] for one in found['nearest']] == [*module.GAPS]


def test_twins_are_looked_up_in_every_copy(pictures):
    module, data = script('twins'), get_data(pictures, sets=['train'])
    some = replace(data, train=[file for file in data.train if sign_of(file) != 'B'])
    found = module.measure_twins(dict(all=data, some=some))
    assert found['pictures'] == len(found['twins']) == 28 and found['copies']['some']['pictures'] == 27
    b = next(one for one in found['twins'] if one['sign'] == 'B')
    assert b['copy'] == 'all' and -1 <= b['correlation'] <= 1 and 1 <= b['frame'] <= 12
    same = [*module.most_similar(data.train[5:6], data.train)] # a frame is its own twin
    assert same == [dict(sign=sign_of(data.train[5]), frame=number_of(data.train[5]), correlation=1., read=True)]


def test_an_archive_is_looked_into(pictures, film):
    module = script('audit')
    found = module.about(pictures/'asl-alphabet')
    assert found['summary'][0]['set'] == 'training film' and str(pictures) not in json.dumps(found)
    seconds, megabytes = module.scaled(film[:3], to=3)
    assert seconds > 0 and megabytes > 0 and not tracemalloc.is_tracing()


def test_landmarks_are_compared_on_pictures_of_the_right_shape():
    shown = script('landmarker').pictures()
    assert shown.shape == (6, 3, 224, 224) and shown.dtype == np.float32 and 0 <= shown.min() and shown.max() <= 1


@HANDS
def test_hands_are_looked_for_in_every_way(film, monkeypatch):
    module = script('hands')
    monkeypatch.setattr(module.random.Random, 'sample', lambda self, files, number: [*files[:1], *files[-1:]])
    found = module.measure_detection(film)
    assert [*found['found']] == [*module.SHOWN] and found['pictures'] + found['nothing'] == 2


def test_a_bundle_is_read(film):
    assert len(script('precision').predictions(None, film[:2])) == 2


@pytest.fixture
def people(tmp_path):
    "Two people with two signs each; the second one mirrored"
    for name in ('ann', 'ben'):
        for sign in 'BL':
            (tmp_path/name/sign).mkdir(parents=True)
            picture = portrait(sign, side=96)
            picture = ImageOps.mirror(picture) if name == 'ben' else picture
            for number in (1, 2): picture.save(tmp_path/name/sign/f'{sign}{number}.jpg')
    return [tmp_path/'ann', tmp_path/'ben']


def test_strangers_are_measured_person_by_person(people, monkeypatch, capsys):
    module = script('strangers')
    monkeypatch.setattr(module, 'WAYS', {'without': dict(hands=False)})
    files = module.people_files(people)
    found = module.measured(files, [*map(module.person_of, files)])
    assert [*found] == ['without', 'without, in a mirror'] and {*found['without']['people']} == {'ann', 'ben'}
    one = found['without']
    assert one['pictures'] == 8 and one['lowest'] <= one['worst_tenth'] <= one['mean'] and 0 <= one['answered'] <= 1
    assert sum(times for _, _, times in one['mistakes']) == round(8*(1 - np.mean([*one['people'].values()])))


def test_strangers_are_taught_and_tested_on_others(tmp_path, monkeypatch):
    module = script('teaching')
    for sign in 'BLV':
        (tmp_path/'ann'/sign).mkdir(parents=True)
        for number in range(1, 5):
            portrait(sign, side=90 + 4*number).save(tmp_path/'ann'/sign/f'{sign}{number}.jpg')
    monkeypatch.setattr(module, 'WAYS', {'without': False})
    found = module.measured(module.people_files([tmp_path/'ann']))['without']
    assert [*found['curve']] == ['1', '2', '3'] # of four pictures, no five can be taught
    assert found['curve']['1']['people'] == found['half']['people'] == 1
    assert found['curve']['1']['neighbours'] == 0 and found['curve']['3']['neighbours'] == 1
    assert all(0 <= one[name] <= 1 for one in found['curve'].values() for name in ('before', 'after', 'promised'))
    assert {'taught_before', 'taught_after', 'others_before', 'others_after', 'worst_change'} < {*found['half']}


def test_a_tested_picture_is_never_a_taught_one():
    split, answers = script('teaching').split, np.repeat([3, 7, 9], [6, 4, 1])
    for count, backwards in ((1, False), (2, True), (3, False), (3, True)):
        teach, test, neighbours = split(answers, count, backwards)
        assert not {*teach} & {*test} and 10 not in {*teach, *test} # a sign's only picture
        assert (np.bincount(answers[teach])[[3, 7]] == count).all()
        near = [row for row in test if answers[row] == 3 and {row - 1, row + 1} & {*teach[answers[teach] == 3]}]
        assert near == [] and neighbours == (count == 3)


def test_pictures_are_shared_out_evenly():
    module = script('people')
    counts = dict(film=90, ann=8, ben=40)
    pictures = {Path(f'{name}{i}'): name for name in counts for i in range(counts[name])}
    def count(people, number):
        names = [pictures[file] for file in module.shared(pictures, people, number)]
        return {name: names.count(name) for name in people}
    assert count(['film'], 60) == dict(film=60)
    assert count(['film', 'ann', 'ben'], 60) == dict(film=26, ann=8, ben=26)


def test_a_variant_lacks_what_it_says():
    module = script('ablation')
    variants = module.rows('ann')
    assert variants['the film and ann'][0] == [module.FILM, 'ann'] and variants['all people'] == (None, {})
    every = [type(tfm).__name__ for tfm in module.pixel_tfms(module.SIZE)]
    for name, kind in (('not mirrored', 'RandomMirror'), ('no other colours behind hands', 'RandomBackdrop')):
        left = [type(tfm).__name__ for tfm in variants[name][1]['tfms']()]
        assert kind in every and left == [one for one in every if one != kind]


def test_a_variant_is_read_by_people(people):
    module = script('ablation')
    files = module.people_files(people)
    logs = np.full((8, 29), -9.)
    logs[:4, 1] = 0 # the first person's pictures, all as B
    assert module.read(module.normalised(logs), sorted(files)) == dict(mean=25., lowest=0.)


def test_the_card_says_what_was_measured():
    module = script('ship')
    found = json.loads((module.RESULTS/'people'/'strangers.json').read_text())
    card = module.measured(found)
    assert len(card) == 8 and all('%' in line for line in card.values()) and 'strangers' in [*card][0]
    assert any('Deaf' in line for line in module.failures(found))


def test_a_sentence_is_filmed(film):
    module = script('spell')
    first = [*islice(module.shown(film, 'AB'), 1)]
    assert first[0].size == (480, 360)


def test_recipes_of_the_evaluation_are_settings():
    from asl_signs.core.settings import get_settings
    for title, differs, how in script('evaluation').RECIPES.values():
        assert title and callable(how) and get_settings(**differs)


def test_processes_train_by_the_script_that_the_tests_use(tmp_path, monkeypatch):
    module, ran = script('processes'), []
    def stand_in(command, env, **_):
        ran.append(command)
        for process in range(2):
            facts = dict(accuracy=.5, pictures=9, bs=4)
            (Path(env['ASL_SIGNS_CACHE'])/f'{process}.json').write_text(json.dumps(facts))
    monkeypatch.setattr(module.subprocess, 'run', stand_in)
    assert module.run(2, 'film', seed=7) == dict(seed=7, processes=2, accuracy=.5, pictures=9, bs=4)
    assert Path(ran[0][3]).exists()
