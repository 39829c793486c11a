"A release: every place has the same version, or none is changed"
import re, shutil, subprocess
from pathlib import Path
import pytest
import release as tool
from release import PLACES, ReleaseError, bump, check, release, versions

ROOT = Path(__file__).resolve().parent.parent
NEXT = '99.1.0'


@pytest.fixture
def project(tmp_path):
    "A copy of the files that hold the version, with something new"
    for name in (*PLACES, 'CHANGELOG.md'):
        (tmp_path/name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT/name, tmp_path/name)
    log = tmp_path/'CHANGELOG.md'
    log.write_text('# Changelog\n\n## 0.1.0, unreleased\n\n- Tea.\n\n## 0.0.1, 2020-01-01\n\n- Water.\n')
    return tmp_path


def test_the_version_is_the_same_in_every_place(): assert len({*versions(ROOT).values()}) == 1


def test_a_release_changes_every_place(project):
    check(project, NEXT)
    bump(project, NEXT)
    assert {*versions(project).values()} == {NEXT}
    assert re.search(rf'^## {NEXT}, \d{{4}}-\d\d-\d\d\n\n- Tea', (project/'CHANGELOG.md').read_text(), re.MULTILINE)


@pytest.mark.parametrize('new, said', [('later', 'is no version'), ('0.0.1', 'comes before')])
def test_a_wrong_version_is_refused(project, new, said):
    with pytest.raises(ReleaseError, match=said): check(project, new)


def test_places_that_differ_are_refused(project):
    (project/'CITATION.cff').write_text('version: 0.0.7\n')
    with pytest.raises(ReleaseError, match='differ already'): check(project, NEXT)


def test_a_changelog_without_news_is_refused(project):
    (project/'CHANGELOG.md').write_text('## 0.1.0, unreleased\n\n## 0.0.1, 2020-01-01\n\n- Water.\n')
    with pytest.raises(ReleaseError, match='write down what is new'): check(project, NEXT)


def test_a_release_is_committed_tagged_and_built(project, monkeypatch):
    def git(*words):
        who = ['-c', 'user.name=Ann', '-c', 'user.email=ann@example.org']
        return subprocess.run(['git', *who, *words], cwd=project, check=True, capture_output=True, text=True).stdout
    git('init')
    git('add', '.')
    git('commit', '--message', 'Tea')
    for name, value in (('name', 'Ann'), ('email', 'ann@example.org')): git('config', f'user.{name}', value)
    built, run = [], subprocess.run
    monkeypatch.setattr(tool.subprocess, 'run',
                        lambda command, **how: built.append(command) if 'build' in command else run(command, **how))
    (project/'settings.ini').write_text((project/'settings.ini').read_text() + '\n')
    with pytest.raises(ReleaseError, match='Commit what you changed'): release(project, NEXT)
    git('checkout', 'settings.ini')
    release(project, NEXT)
    assert git('tag').strip() == f'v{NEXT}' and git('log', '-1', '--format=%s').strip() == f'Release {NEXT}'
    assert not git('status', '--porcelain') and len(built) == 1
    (project/'CHANGELOG.md').write_text('## next, unreleased\n\n- Milk.\n')
    git('commit', '--all', '--message', 'Milk')
    with pytest.raises(ReleaseError, match='was released already'): release(project, NEXT)
