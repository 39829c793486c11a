"Where pictures are looked for: links that lead nowhere, and texts that name no folder"
import os
import pytest
from asl_signs.data import get_data
from asl_signs.datasets.archives import DataError, pictures_in
from asl_signs.datasets.audit import check_data
from asl_signs.datasets.people import people_files
from asl_signs.datasets.sample import draw_sample


def nowhere(file): file.symlink_to('/no/such/file.jpg')


def in_a_circle(file): file.symlink_to(file)


lost = pytest.mark.parametrize('link', [nowhere, in_a_circle])


@pytest.fixture
def film(tmp_path, monkeypatch):
    "The folder of a drawn film of four frames a sign"
    monkeypatch.setenv('ASL_SIGNS_CACHE', str(tmp_path/'cache'))
    archive = draw_sample(tmp_path/'drawn', frames=4, pictures=1, side=16)/'asl-alphabet'
    return archive/'asl_alphabet_train'/'asl_alphabet_train'


@lost
@pytest.mark.parametrize('name', ['A/A9.jpg', 'more'])
def test_a_lost_link_is_a_remark(film, link, name):
    good, remarks = pictures_in(film), []
    link(film/name)
    assert pictures_in(film, remarks) == good
    assert len(remarks) == 1 and str((film/name).parent) in remarks[0] and (film/name).name in remarks[0]
    with pytest.warns(UserWarning, match=(film/name).name): assert pictures_in(film) == good


@pytest.mark.skipif(not hasattr(os, 'mkfifo'), reason='this system has no named pipes')
def test_a_pipe_is_not_waited_for(film):
    os.mkfifo(film/'A'/'A9.jpg')
    remarks = []
    assert film/'A'/'A9.jpg' not in pictures_in(film, remarks) and 'A9.jpg' in remarks[0]


def test_many_lost_links_are_one_remark_and_a_hidden_one_is_none(film):
    remarks = []
    for number in range(10, 20): nowhere(film/'A'/f'A{number}.jpg')
    nowhere(film/'B'/'.#B1.jpg')
    pictures_in(film, remarks)
    assert len(remarks) == 1 and '10 links (A10.jpg, A11.jpg, A12.jpg and others)' in remarks[0]


def test_a_folder_that_is_not_there_is_not_said_to_need_permissions(tmp_path):
    remarks = []
    assert not pictures_in(tmp_path/'nowhere', remarks)
    assert 'Check its name' in remarks[0] and 'permissions' not in remarks[0]


@lost
def test_a_lost_link_breaks_neither_loading_nor_the_audit(film, link):
    link(film/'A'/'A9.jpg')
    assert 'A9.jpg' in repr(get_data(film, ['train']))
    assert any('A9.jpg' in finding for finding in check_data(film).findings)


def test_a_picture_that_may_not_be_read_is_a_finding(film, monkeypatch):
    picture, opened = film/'A'/'A1.jpg', type(film).open
    def refusing(file, *args, **kwargs):
        if file == picture: raise PermissionError(13, 'Permission denied', str(file))
        return opened(file, *args, **kwargs)
    def unreadable(file): return 'may not be read' if file == picture else None
    monkeypatch.setattr('asl_signs.datasets.audit.unreadable', unreadable)
    monkeypatch.setattr(type(film), 'open', refusing)
    assert 'Cannot be read: 1' in ' '.join(check_data(film).findings)


@lost
def test_a_lost_link_among_a_persons_signs_is_a_remark(film, link):
    remarks = []
    link(film/'more')
    assert len(people_files([film], remarks=remarks)) == 4*29 and 'more' in remarks[0]


def test_the_current_folder_is_searched_only_if_it_is_named(film, tmp_path, monkeypatch):
    draw_sample(tmp_path/'here'/'another', frames=4, pictures=1, side=16)
    monkeypatch.chdir(tmp_path/'here')
    data = get_data(f'{film}{os.pathsep}', ['train'])
    assert {file.parent.parent for file in data.train} == {film}
    for text in ('', os.pathsep):
        with pytest.raises(DataError, match='an empty text.*ASL_SIGNS_DATA'): get_data(text)
