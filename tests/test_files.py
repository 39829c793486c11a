"Names, copies and settings for any input; and data that cannot be used"
import os, shutil, stat, zipfile
from pathlib import Path
from unittest.mock import patch
import pytest
from hypothesis import given, strategies as st
from asl_signs.files import DataError, all_pictures, check, set_aside_copies, sort_pictures
from asl_signs.sample import draw_sample
from asl_signs.settings import Settings, from_environment, get_settings
from asl_signs.signs import SIGNS, named_sign, number_of, set_of, sign_of

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


@given(st.sets(st.tuples(signs, st.integers(1, 30)), min_size=1), st.integers(0, 3))
def test_every_picture_is_kept_once(pictures, nested):
    root = Path('set')
    originals = [root/sign/f'{sign}{number:04}_test.jpg' for sign, number in pictures]
    copies = [root.joinpath(*['again']*depth)/file.relative_to(root) for depth in range(1, nested+1) for file in originals]
    kept, aside = set_aside_copies(copies + originals)
    assert (kept, aside) == (sorted(originals), sorted(copies))


@given(epochs=st.integers(0, 99), lr=st.floats(1e-6, 1), pretrained=st.booleans())
def test_settings_from_the_environment(epochs, lr, pretrained):
    with patch.dict(os.environ, ASL_SIGNS_EPOCHS=str(epochs), ASL_SIGNS_LR=str(lr), ASL_SIGNS_PRETRAINED=str(int(pretrained))):
        assert get_settings() == Settings(epochs=epochs, lr=lr, pretrained=pretrained)


def test_unreadable_settings_are_named():
    with patch.dict(os.environ, ASL_SIGNS_LR='fast'), pytest.raises(ValueError, match="ASL_SIGNS_LR='fast' should be a number"): from_environment()


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
