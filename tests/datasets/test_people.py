"People: what a folder or zip may hold, copies, splits, weights, and pictures fetched from a stand-in for GitHub"
import io, os, re, shutil, threading, zipfile
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
import numpy as np
import pytest
from hypothesis import given, strategies as st
from PIL import Image, ImageOps
from asl_signs.core.cache import cache_dir, fingerprint
from asl_signs.core.signs import SIGNS
from asl_signs.datasets.archives import DataError
from asl_signs.datasets.audit import check_data
from asl_signs.datasets.copies import near_copies
from asl_signs.datasets.film import FilmError
from asl_signs.datasets.people import (even_weights, kept_people, published, licence_table, people_files,
                                       person_folds, person_of, person_splitter)
from asl_signs.datasets.public import fetch_person, get_person
from asl_signs.metrics.people import by_person


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv('ASL_SIGNS_CACHE', str(tmp_path/'cache'))
    monkeypatch.delenv('ASL_SIGNS_PEOPLE', raising=False)
    return tmp_path/'cache'


def picture(seed): return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (8, 8, 3), dtype=np.uint8))


def draw(folder, signs='AB', each=3):
    "A person whose pictures are like no other's"
    for sign in signs:
        (folder/sign).mkdir(parents=True)
        for k in range(1, each + 1):
            picture([*map(ord, f'{folder.name}{sign}{k}')]).resize((48, 48)).save(folder/sign/f'{sign}{k}.png')
    return folder


def packed(folder, to, around=''):
    with zipfile.ZipFile(to, 'w') as zipped:
        for file in sorted(folder.rglob('*.png')): zipped.write(file, f'{around}{file.relative_to(folder)}')
    return to


@pytest.mark.parametrize('around', ['', 'photos/'])
def test_a_person_is_a_folder_or_a_zip(tmp_path, around):
    ann = draw(tmp_path/'ann')
    ben = packed(draw(tmp_path/'somebody'), tmp_path/'ben.zip', around)
    files = people_files(os.pathsep.join(map(str, (ann, ben))))
    assert Counter(map(person_of, files)) == dict(ann=6, ben=6)
    assert people_files([ben]) == people_files([ben]) and not [*cache_dir().rglob('.making-*')]


def test_a_folder_of_people_stands_for_all(tmp_path):
    draw(tmp_path/'all'/'ann')
    packed(draw(tmp_path/'ben'), tmp_path/'all'/'ben.zip')
    assert {*map(person_of, people_files(tmp_path/'all'))} == {'ann', 'ben'}


def test_small_letters_are_signs(tmp_path):
    ann = draw(tmp_path/'ann', 'AB')
    (ann/'A').rename(ann/'a')
    files = people_files([ann])
    assert [file.parent.name for file in files] == ['A']*3 + ['B']*3 and {*map(person_of, files)} == {'ann'}
    draw(tmp_path/'more', 'A')
    shutil.move(tmp_path/'more'/'A', ann/'A')
    with pytest.raises(DataError, match='2 folders for the sign A'): people_files([ann])


def test_links_lead_somewhere_also_in_a_cache_that_is_named_from_here(tmp_path, monkeypatch):
    ann = draw(tmp_path/'ann', 'AB')
    for sign in 'AB': (ann/sign).rename(ann/sign.lower())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('ASL_SIGNS_CACHE', 'here')
    assert all(file.exists() for file in people_files([packed(ann, tmp_path/'somebody.zip')]))


def test_own_signs(tmp_path):
    (draw(tmp_path/'ann', ['fist', 'palm', 'A']))
    remarks = []
    assert len(people_files([tmp_path/'ann'], ['fist', 'palm'], remarks)) == 6
    assert len(remarks) == 1 and '3 pictures' in remarks[0] # A is a sign, but not asked for


def zip_of(path, *names):
    with zipfile.ZipFile(path, 'w') as zipped:
        for name in names: zipped.writestr(name, b'picture')
    return path


@pytest.mark.parametrize('case, words', {
    'not there': 'does not exist', 'empty': 'holds no pictures', 'no signs': 'no folder that is named after a sign',
    'unknown': 'no sign: hello', 'misplaced': 'named after A, but lies in the folder of B',
    'same name': 'Two people are called ann',
    'outside': 'points outside its folder', 'broken': 'cannot be unpacked', 'empty zip': 'holds no pictures',
    'two in a zip': 'holds 2 people', 'link': 'is a link', 'known': 'asl-signs people get p05'}.items())
def test_what_cannot_be_used_gets_a_sentence(tmp_path, case, words):
    ann, other = draw(tmp_path/'ann'), tmp_path/'other'
    people = [other]
    if case == 'empty': (other/'A').mkdir(parents=True)
    if case == 'no signs': shutil.copytree(ann, other/'all'/'ann') # x and y would be signs
    if case == 'unknown': shutil.copytree(draw(other)/'A', other/'hello')
    if case == 'misplaced': draw(other).joinpath('B', 'B1.png').rename(other/'B'/'A1_test.png')
    if case == 'same name': people = [ann, draw(tmp_path/'elsewhere'/'ann')]
    if case == 'outside': people = [zip_of(tmp_path/'p.zip', '../A/A1.jpg')]
    if case == 'broken':
        (tmp_path/'p.zip').write_bytes(b'no zip')
        people = [tmp_path/'p.zip']
    if case == 'empty zip': people = [zip_of(tmp_path/'p.zip', 'README.md')]
    if case == 'two in a zip': people = [zip_of(tmp_path/'p.zip', 'ann/A/A1.jpg', 'ben/A/A1.jpg')]
    if case == 'known': people = ['p05']
    if case == 'link':
        link = zipfile.ZipInfo('A/A1.jpg')
        link.external_attr = 0o120777 << 16
        with zipfile.ZipFile(tmp_path/'p.zip', 'w') as zipped: zipped.writestr(link, '/etc/passwd')
        people = [tmp_path/'p.zip']
    with pytest.raises(DataError, match=words): people_files(people)
    assert not [*cache_dir().rglob('.making-*')] and not [*cache_dir().glob('unpacked/person-*')]


def test_licences_are_quoted():
    lines = licence_table(published()).splitlines()
    assert len(lines) == 2 + 20 and all(line.count('|') == 6 for line in lines)
    assert '| p01 | keptsecret/ASLAlphabets @ 9702c7a745 |' in lines[2] and 'Apache-2.0' in lines[2]


def test_names_depend_on_the_files(tmp_path):
    files = people_files([draw(tmp_path/'ann'), draw(tmp_path/'ben')])
    before = fingerprint(files)
    assert before == fingerprint(reversed(files)) and before != fingerprint(files[1:])
    files[0].write_bytes(files[1].read_bytes())
    assert fingerprint(files) != before


def test_copies_between_people_are_found_and_neighbours_are_not(tmp_path):
    ann, ben = draw(tmp_path/'ann'), draw(tmp_path/'ben')
    for place in (ann/'A'/'A9.png', ben/'B'/'B9.jpg'): # of a neighbour, and of somebody else
        ImageOps.mirror(Image.open(ann/'A'/'A1.png')).resize((40, 40)).save(place)
    groups = {folder.name: sorted(folder.glob('*/*')) for folder in (ann, ben)}
    found = near_copies(groups)
    assert {pair[1].name for pair in found} == {'B9.jpg'} and {pair[0].name for pair in found} == {'A1.png', 'A9.png'}
    assert 'B9.jpg' in ' '.join(check_data(people=[ann, ben]).findings)
    assert near_copies(groups, ()) == near_copies({}) == []


def test_empty_rooms_are_no_copies_unless_they_are_the_same_file(tmp_path):
    for name, shade in (('ann', 90), ('ben', 120)):
        (tmp_path/name/'nothing').mkdir(parents=True)
        wall = Image.linear_gradient('L').point([min(255, shade + v//4) for v in range(256)])
        wall.save(tmp_path/name/'nothing'/'1.png')
    groups = {name: [*(tmp_path/name).glob('*/*')] for name in ('ann', 'ben')}
    assert near_copies(groups) == []
    shutil.copy(groups['ann'][0], tmp_path/'ben'/'nothing'/'2.png')
    assert len(near_copies({name: [*(tmp_path/name).glob('*/*')] for name in groups})) == 1


def names(*counts): # person, sign, pictures
    return [f'/x/{person}/{sign}/{sign}{k}.jpg' for person, signs, n in counts for sign in signs for k in range(n)]


@given(st.lists(st.tuples(st.sampled_from('abc'), st.sampled_from('ABC')), min_size=1, max_size=60))
def test_people_and_signs_count_evenly(cells):
    people, signs = map(np.array, zip(*cells))
    weights = even_weights(people, signs, {'a': 2.})
    assert weights.sum() == pytest.approx(1)
    for sign in {*signs.tolist()}:
        assert weights[signs == sign].sum() == pytest.approx(1/len({*signs.tolist()}))
        names = {*people[signs == sign].tolist()}
        of_sign = {name: weights[(signs == sign) & (people == name)].sum() for name in names}
        others = [share for name, share in of_sign.items() if name != 'a']
        assert max(others, default=1) == pytest.approx(min(others, default=1))
        if 'a' in of_sign and others: assert of_sign['a'] == pytest.approx(2*others[0])


def test_splits_keep_people_whole_and_every_sign_trained():
    files = names(('ann', 'ABC', 3), ('ben', 'AB', 3), ('cleo', 'AB', 3))
    for seed in range(5):
        train, valid = person_splitter(seed=seed)(files)
        assert {person_of(files[i]) for i in valid} in ({'ben'}, {'cleo'}) and len(train) + len(valid) == len(files)
    with pytest.raises(FilmError, match='C would be left untrained: nobody but ann'): kept_people(['ann'])(files)
    with pytest.raises(FilmError, match='C would be left untrained'): person_folds(files, 3)
    assert sorted(sum(person_folds(files, 3, also=names(('film', 'ABC', 1))), [])) == ['ann', 'ben', 'cleo']
    with pytest.raises(FilmError, match='cannot be split by person'): person_splitter()(files[:9])
    both = names(('ann', 'AB', 1), ('ben', 'AC', 1))
    with pytest.raises(FilmError, match='would be left untrained'): person_splitter()(both)


def test_by_person_counts_every_picture():
    files = names(('ann', 'AB', 1), ('ben', 'AB', 4))
    probs = np.eye(29)[[SIGNS.index(file.split('/')[3]) for file in files]]
    probs[0] = np.nan
    found = by_person(probs, files)
    assert found.mean == .75 and found.worst_tenth == .5 and found.report.accuracy == .9 and len(found.table) == 2
    assert found.table.worst['ann'] == 'A' and found.signs.person['A'] == 'ann' and by_person(found.report).mean == .75
    with pytest.raises(ValueError, match='Name the pictures'): by_person(probs)


def test_get_data_takes_people_and_refuses_copies_of_test_pictures(tmp_path, monkeypatch):
    from asl_signs.data import get_data, get_dls
    from asl_signs.core.settings import get_settings
    from asl_signs.datasets.sample import draw_sample
    for name in ('ann', 'ben', 'cleo'): draw(tmp_path/name, SIGNS, 2)
    people = [tmp_path/name for name in ('ann', 'ben', 'cleo')]
    alone = get_data(source=[], people=people)
    assert alone.train == people_files(people) and alone.people == ('ann', 'ben', 'cleo') and not alone.second_test
    dls = get_dls(alone, get_settings(alone, size=16, bs=8, workers=0))
    assert len({person_of(file) for file in dls.valid.items}) == 1 and type(dls.train).__name__ == 'BalancedDL'
    sample = draw_sample(tmp_path/'sample', frames=2, pictures=1, side=24)
    monkeypatch.setenv('ASL_SIGNS_PEOPLE', os.pathsep.join(map(str, people)))
    data = get_data(sample)
    assert len(data.train) == 29*2 + 3*29*2 and len(data.second_test) == 29 and '3 people' in repr(data)
    assert not get_data(sample, people=()).people
    stolen = people[0]/'K'/'K7.jpg'
    Image.open(next(file for file in data.second_test if file.parent.name == 'K')).resize((40, 40)).save(stolen)
    with pytest.raises(DataError, match=re.escape(str(stolen))): get_data(sample)


class GitHub(BaseHTTPRequestHandler):
    def log_message(self, *_): pass

    def do_GET(self):
        self.server.asked.append(self.path)
        self.send_response(self.server.status)
        self.send_header('Content-Length', str(len(self.server.body)))
        self.end_headers()
        self.wfile.write(self.server.body[:self.server.cut])


def archive(commit, signs=SIGNS[:26], each=10, below='Image'):
    content, body = io.BytesIO(), io.BytesIO()
    picture(0).save(content, 'PNG')
    with zipfile.ZipFile(body, 'w') as zipped:
        zipped.comment = commit.encode()
        for sign in signs:
            for k in range(each): zipped.writestr(f'repository-2caa/{below}/{sign}/{k}.png', content.getvalue())
        zipped.writestr('repository-2caa/docs/A.png', content.getvalue())
    return body.getvalue()


@pytest.fixture
def github():
    server = ThreadingHTTPServer(('127.0.0.1', 0), GitHub)
    server.asked, server.status, server.cut, server.body = [], 200, None, archive(published()['p05']['commit'])
    server.address = f'http://127.0.0.1:{server.server_port}'
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_public_people_are_fetched_once(github):
    folder = fetch_person('p05', github.address)
    commit = published()['p05']['commit']
    assert folder == cache_dir()/'people'/'p05'
    assert github.asked == [f'/Techyrushi/Sign_To_Text_Conversion/zip/{commit}']
    assert len(people_files(['p05'])) == 260 and (folder/'A'/'A10.png').exists()
    assert fetch_person('p05', github.address) == folder and len(github.asked) == 1


@pytest.mark.parametrize('case, words', {
    'other commit': 'instead of 2cacaad953', 'a sign is missing': 'fewer than 10 pictures of Z', 'cut off': 'cut off',
    'no zip': 'not kept', 'gone': 'not there any more', 'nobody': 'cannot be reached'}.items())
def test_what_comes_broken_is_not_kept(github, case, words):
    commit = published()['p05']['commit']
    if case == 'other commit': github.body = archive('0'*40)
    if case == 'a sign is missing': github.body = archive(commit, SIGNS[:25])
    if case == 'cut off': github.cut = 1000
    if case == 'no zip': github.body = b'<html>'
    if case == 'gone': github.status = 404
    with pytest.raises(DataError, match=words):
        fetch_person('p05', 'http://127.0.0.1:9' if case == 'nobody' else github.address)
    assert not [file for file in cache_dir().rglob('*') if file.is_file() and file.suffix != '.lock']


def test_no_sign_is_left_out_without_a_word(github, monkeypatch):
    commit, spelt = published()['p01']['commit'], [*SIGNS[:26], 'Nothing', 'Space']
    monkeypatch.setitem(published()['p01']['layout'], 'least', 2)
    github.body = archive(commit, [*spelt, 'Delete'], 2, 'train')
    with pytest.raises(DataError, match='fewer than 2 pictures of del. .* no sign: Delete'):
        fetch_person('p01', github.address)
    assert not [*cache_dir().glob('people/p01*/*')]
    github.body = archive(commit, [*spelt, 'Del'], 2, 'train')
    fetch_person('p01', github.address)
    assert Counter(file.parent.name for file in people_files(['p01'])) == dict.fromkeys(SIGNS, 2)


def test_a_size_that_is_not_known_is_said_to_be_unknown():
    from asl_signs.datasets.public import public_people
    assert len(published()) == 20 and public_people().count('size unknown') == 5


def test_the_command_shows_a_licence_and_asks_first(github, monkeypatch, capsys):
    from asl_signs.cli import main
    monkeypatch.setattr('sys.stdin', io.StringIO('no\n'))
    assert main(['people', 'get', 'p05']) == 1 and not cache_dir().joinpath('people', 'p05').exists()
    assert 'MIT (2023 Rushikesh Chavan)' in capsys.readouterr().out
    assert main(['people', 'list']) == 0 and 'get p01' in capsys.readouterr().out
    assert main(['people', 'get', 'p06', '--yes']) == 1 and 'not to be fetched' in capsys.readouterr().err
    monkeypatch.setattr('sys.stdin', io.StringIO('yes\n'))
    assert get_person('p05', place=github.address) == 0 and len(people_files(['p05'])) == 260
    assert get_person('p05', yes=True, place='http://127.0.0.1:9') == 0 # they are here


def test_each_person_is_read_by_a_network_that_never_saw_them(tmp_path, monkeypatch):
    from asl_signs.train import folds
    from asl_signs.core.settings import Settings
    from asl_signs.datasets.sets import SignData
    files = names(('film', 'ABC', 2), ('ann', 'AB', 2), ('ben', 'ABC', 3), ('cleo', 'A', 4))
    data = SignData(files, [], [], 'here', people=('ann', 'ben', 'cleo'))
    seen = []

    def get_dls(data, settings, splitter):
        train, kept = splitter(data.train)
        assert len(train) + len(kept) == len(files)
        return {person_of(data.train[i]) for i in kept}

    def ask(held, asked):
        assert {*map(person_of, asked)} == held
        seen.extend(asked)
        return np.eye(29)[[SIGNS.index('A')]*len(asked)]

    monkeypatch.setattr(folds, 'get_dls', get_dls)
    monkeypatch.setattr(folds, 'new_learner', lambda dls, settings: dls)
    monkeypatch.setattr(folds, 'trained', lambda learn, name, settings: learn)
    monkeypatch.setattr(folds, 'model_name', lambda *_: 'any')
    monkeypatch.setattr(folds, 'ask', ask)
    found = folds.cross_validate_people(data, Settings(), folds=3)
    assert sorted(seen) == sorted(files[6:]) and len(found.report) == 4 + 9 + 4
    assert found.table.accuracy.to_dict() == {'ann': .5, 'ben': 1/3, 'cleo': 1}
