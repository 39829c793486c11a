"Names, copies and settings for any input; and data that cannot be used"
import os, shutil, stat, zipfile
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch
import pytest
from hypothesis import given, strategies as st
from PIL import Image
from asl_signs.datasets.archives import DataError, all_pictures, is_picture, pictures_in
from asl_signs.datasets.sets import check, set_aside_copies, sort_pictures
from asl_signs.datasets.sample import draw_sample
from asl_signs.core.settings import Settings, from_environment, get_settings
from asl_signs.core.signs import SIGNS, named_sign, number_of, set_of, sign_of

signs, numbers = st.sampled_from(SIGNS), st.integers(0, 99_999)


@given(signs, numbers, st.sampled_from(['jpg', 'JPG', 'png']))
def test_all_three_naming_rules_give_the_sign(sign, number, ending):
    names = {'train': f'{sign}/{sign}{number}.{ending}', 'small_test': f'asl_alphabet_test/{sign}_test.{ending}',
             'second_test': f'{sign}/{sign}{number:04}_test.{ending}'}
    for kind, name in names.items():
        assert (set_of(name), sign_of(name)) == (kind, sign)
        assert number_of(name) == (0 if kind == 'small_test' else number)


@given(st.text(st.characters(exclude_characters='/\\\0'), min_size=1).filter(lambda name: name not in ('.', '..')))
def test_other_names_are_refused_not_guessed(name):
    file = Path('holiday')/name
    if named_sign(file) is None:
        with pytest.raises(ValueError, match='holiday'): sign_of(file)
        assert set_of(file) is None


def written(file, content):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)
    return file


@given(st.sets(st.tuples(signs, st.integers(1, 30)), min_size=1, max_size=9), st.integers(0, 3))
def test_every_picture_is_kept_once(pictures, nested):
    with TemporaryDirectory() as folder:
        root = Path(folder)/'set'
        originals = [written(root/sign/f'{sign}{number:04}_test.jpg', f'{sign} {number}') for sign, number in pictures]
        copies = [written(root.joinpath(*['again']*depth)/file.relative_to(root), file.read_text())
                  for depth in range(1, nested+1) for file in originals]
        kept, aside = set_aside_copies(copies + originals)
        assert (kept, aside) == (sorted(originals), sorted(copies))


def test_what_is_named_alike_and_shows_something_else_is_no_copy(tmp_path):
    people = [written(tmp_path/person/'A'/'A0001_test.jpg', person) for person in ('ann', 'bob')]
    # No test pictures, and so nobody's copies:
    takes = [written(tmp_path/person/'A'/'1.jpg', 'the same') for person in ('ann', 'bob')]
    assert set_aside_copies(people + takes) == (sorted(people + takes), [])


@pytest.mark.parametrize('name', ['A0001_test (1).jpg', 'A0001_test - Copy.jpg', 'Copy of A0001_test.jpg',
                                  'a0001_TEST.jpg', 'B0001_test_2.png'])
def test_what_is_left_of_a_test_picture_is_never_trained_on(name): assert set_of(Path('A')/name) != 'train'


@pytest.mark.parametrize('kind', 'jpg jpeg jfif png webp bmp tiff gif jp2 ppm tga avif'.split())
def test_pictures_are_known_by_a_list_that_is_the_same_on_every_machine(kind, tmp_path):
    try: Image.new('RGB', (8, 8)).save(tmp_path/f'a.{kind}')
    except (KeyError, OSError): pytest.skip(f'this Pillow writes no {kind}')
    with patch('mimetypes.types_map', {}), patch('mimetypes.guess_type', lambda *_: (None, None)):
        assert pictures_in(tmp_path) == [tmp_path/f'a.{kind}'] and is_picture(Path(f'A.{kind.upper()}'))


@pytest.mark.parametrize('name', ['.ipynb_checkpoints', '.Trash-0', '.hidden', '@eaDir', '__MACOSX', '#recycle',
                                  '$RECYCLE.BIN', 'System Volume Information'])
def test_housekeeping_folders_are_passed_over(name, tmp_path, cache):
    picture = written(tmp_path/'mine'/'A'/'A1.jpg', 'picture')
    for folder in (tmp_path/'mine'/name, tmp_path/'mine'/'A'/name, tmp_path/'mine'/name/'A'):
        written(folder/'A2.jpg', 'rubbish')
    archive = shutil.make_archive(tmp_path/'mine', 'zip', tmp_path/'mine')
    assert pictures_in(tmp_path/'mine') == [picture]
    assert [file.name for file in all_pictures(Path(archive))] == ['A1.jpg']


def test_a_folder_is_searched_once_however_many_links_lead_to_it(tmp_path):
    picture = written(tmp_path/'mine'/'A'/'A1.jpg', 'picture')
    (tmp_path/'mine'/'A'/'up').symlink_to(tmp_path/'mine')
    (tmp_path/'mine'/'0').symlink_to(tmp_path/'mine'/'A') # sorts before what it leads to
    (tmp_path/'links').mkdir()
    (tmp_path/'links'/'data').symlink_to(tmp_path/'mine')
    assert pictures_in(tmp_path/'mine') == [picture]
    assert pictures_in(tmp_path/'links') == [tmp_path/'links'/'data'/'A'/'A1.jpg']


def test_a_folder_that_may_not_be_read_is_named(tmp_path):
    picture, locked = written(tmp_path/'A'/'A1.jpg', 'picture'), written(tmp_path/'B'/'B1.jpg', 'picture').parent
    scandir = os.scandir
    def refusing(folder):
        if Path(folder) == locked: raise PermissionError(13, 'Permission denied')
        return scandir(folder)
    with patch('os.scandir', refusing):
        with pytest.warns(UserWarning, match=str(locked)): assert pictures_in(tmp_path) == [picture]
        remarks = []
        assert all_pictures(tmp_path, remarks) == [picture] and str(locked) in remarks[0]
        with pytest.raises(DataError, match='Permission denied'): all_pictures(locked)


@given(epochs=st.integers(0, 99), lr=st.floats(1e-6, 1), pretrained=st.booleans())
def test_settings_from_the_environment(epochs, lr, pretrained):
    variables = dict(ASL_SIGNS_EPOCHS=str(epochs), ASL_SIGNS_LR=str(lr), ASL_SIGNS_PRETRAINED=str(int(pretrained)))
    with patch.dict(os.environ, variables):
        assert get_settings() == Settings(epochs=epochs, lr=lr, pretrained=pretrained)


def test_unreadable_settings_are_named():
    message = "ASL_SIGNS_LR='fast' should be a number"
    with patch.dict(os.environ, ASL_SIGNS_LR='fast'), pytest.raises(ValueError, match=message): from_environment()


@pytest.mark.parametrize('name, text', [('size', '0'), ('bs', '0'), ('epochs', '-3'), ('freeze_epochs', '-1'),
                                        ('lr', 'nan'), ('lr', 'inf'), ('valid_pct', '20'), ('workers', '-1')])
def test_numbers_that_cannot_be_are_refused_with_their_variable(name, text):
    variable = f'ASL_SIGNS_{name.upper()}'
    with patch.dict(os.environ, {variable: text}), pytest.raises(ValueError, match=f'{variable}.* should be from'):
        get_settings()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv('ASL_SIGNS_CACHE', str(tmp_path/'cache'))
    return tmp_path/'cache'


@pytest.fixture
def sample(tmp_path): return draw_sample(tmp_path/'sample', frames=1, pictures=1, side=16)


@pytest.mark.parametrize('layout', [
    ('asl-alphabet', 'asl-alphabet-test'),                         # as Kaggle's archives unpack
    ('deep/er/still/asl-alphabet', 'else/where/photographs'),      # at any depth, under any name
])
@pytest.mark.parametrize('zipped', [False, True], ids=['folders', 'archives'])
def test_any_layout_gives_the_same_sets(sample, cache, tmp_path, layout, zipped):
    for kaggle, place in zip(('asl-alphabet', 'asl-alphabet-test'), layout):
        target = tmp_path/'mine'/place
        target.parent.mkdir(parents=True, exist_ok=True)
        if zipped: shutil.make_archive(target, 'zip', sample/kaggle)
        else: shutil.copytree(sample/kaggle, target)
    data = check(sort_pictures(all_pictures(tmp_path/'mine'), 'mine'))
    assert [len(data.train), len(data.small_test), len(data.second_test), len(data.copies)] == [29, 28, 29, 29]
    assert {sign_of(file) for file in data.train} == {*SIGNS}


def test_an_unreadable_picture_is_named_once_it_is_there(sample, cache):
    data = sort_pictures(all_pictures(sample), 'mine')
    check(data)
    for content in (b'', b'\xff\xd8\xff\xe0', b'this is text', data.train[3].read_bytes()[:-200]):
        data.train[3].write_bytes(content)
        with pytest.raises(DataError, match=data.train[3].name): check(data)


@pytest.mark.parametrize('name', ['A.zip', 'A/A1.zip'])
def test_an_archive_that_is_none_is_named(tmp_path, cache, name):
    (tmp_path/'mine'/name).parent.mkdir(parents=True)
    (tmp_path/'mine'/name).write_text('<html>Sign in to Kaggle</html>')
    with pytest.raises(DataError, match=name): all_pictures(tmp_path/'mine')
    assert not cache.exists() or not any(f.is_dir() for f in cache.rglob('*'))


@pytest.mark.parametrize('name, mode', [
    ('../A/A2.jpg', 0), ('/A/A2.jpg', 0), ('A/../../A2.jpg', 0), ('A\\..\\..\\A2.jpg', 0), ('C:/A2.jpg', 0),
    ('A/A2.jpg', stat.S_IFLNK | 0o777),
])
def test_an_archive_that_reaches_outside_is_refused_whole(tmp_path, cache, name, mode):
    archive = tmp_path/'mine'/'asl-alphabet.zip'
    archive.parent.mkdir()
    entry = zipfile.ZipInfo(name)
    entry.external_attr = mode << 16
    with zipfile.ZipFile(archive, 'w') as zipped:
        zipped.writestr('A/A1.jpg', 'a picture')
        zipped.writestr(entry, '/etc/passwd')
    with pytest.raises(DataError) as error: all_pictures(archive.parent)
    assert str(archive) in str(error.value) and f'({name})' in str(error.value)
    assert [f.name for f in tmp_path.rglob('*') if f.is_file()] == ['asl-alphabet.zip']


def test_archives_are_found_behind_links_and_whatever_the_case_of_their_ending(sample, cache, tmp_path):
    (tmp_path/'store').mkdir()
    for name in ('asl-alphabet', 'asl-alphabet-test'):
        os.rename(shutil.make_archive(tmp_path/name, 'zip', sample/name), tmp_path/'store'/f'{name}.ZIP')
    (tmp_path/'mine').mkdir()
    (tmp_path/'mine'/'linked').symlink_to(tmp_path/'store')
    assert len(sort_pictures(all_pictures(tmp_path/'mine'), 'mine').train) == 29


def test_a_broken_archive_beside_good_pictures_is_a_remark_and_nobody_is_told_to_delete_it(sample, cache):
    (sample/'backup.zip').write_text('no archive')
    remarks = []
    found = all_pictures(sample, remarks)
    assert len(sort_pictures(found, 'mine').train) == 29 and len(remarks) == 1
    assert str(sample/'backup.zip') in remarks[0] and 'elete' not in remarks[0]
    with pytest.warns(UserWarning, match='backup.zip'): assert all_pictures(sample) == found
    with pytest.raises(DataError) as error: all_pictures(sample/'backup.zip')
    assert 'elete' not in str(error.value)


def test_an_archive_of_something_else_is_not_unpacked(sample, cache, tmp_path):
    written(tmp_path/'holiday'/'beach'/'1.jpg', 'a picture')
    shutil.make_archive(sample/'holiday', 'zip', tmp_path/'holiday')
    assert not any('holiday' in str(file) for file in all_pictures(sample)) and not (cache/'unpacked').exists()
