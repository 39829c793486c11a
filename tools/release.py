"""A release in one command: `make release VERSION=0.2.0`

The version stands in settings.ini, in asl_signs/__init__.py and in CITATION.cff. They are changed together or not at
all; then the changelog gets its heading, and a commit, a tag and the files to be published are made. Nothing is sent
anywhere."""
import re, subprocess, sys, time
from pathlib import Path
from packaging.version import InvalidVersion, Version

ROOT = Path(__file__).resolve().parent.parent
PLACES = { # file -> the line that holds the version
    'settings.ini': r'^version = (\S+)$', 'asl_signs/__init__.py': r'^__version__ = "(\S+)"$',
    'CITATION.cff': r'^version: (\S+)$'}
NEWEST = re.compile(r'^## \S+, unreleased$', re.MULTILINE) # in the changelog


class ReleaseError(RuntimeError):
    "Why there can be no release; the message says what to do"


def versions(root:Path # the project's folder
            ) -> dict: # file -> version
    "The version in each place"
    texts = {name: (root/name).read_text(encoding='utf-8') for name in PLACES}
    found = {name: re.findall(line, texts[name], re.MULTILINE) for name, line in PLACES.items()}
    if missing := [name for name, lines in found.items() if len(lines) != 1]:
        raise ReleaseError(f'{", ".join(missing)} should have one line with the version.')
    return {name: version for name, (version,) in found.items()}


def check(root:Path, # the project's folder
          new:str    # the version to be
         ):          # ReleaseError
    "Make sure that a release is possible"
    try: later = Version(new)
    except InvalidVersion as e: raise ReleaseError(f'{new!r} is no version: take one such as 0.2.0.') from e
    old = versions(root)
    if len({*old.values()}) > 1: raise ReleaseError(f'The versions differ already: {old}. Make them equal first.')
    if later < Version(old['settings.ini']): raise ReleaseError(f'{new} comes before {old["settings.ini"]}.')
    _, *news = NEWEST.split((root/'CHANGELOG.md').read_text(encoding='utf-8'), maxsplit=1)
    if not news or news[0].lstrip().startswith('## '):
        raise ReleaseError(f'CHANGELOG.md says nothing below "## {new}, unreleased": write down what is new.')


def bump(root:Path, # the project's folder
         new:str    # the version to be
        ):
    "Write the version into every place, and the changelog's heading"
    for name, line in PLACES.items():
        text = (root/name).read_text(encoding='utf-8')
        start, end = re.search(line, text, re.MULTILINE).span(1)
        (root/name).write_text(text[:start] + new + text[end:], encoding='utf-8')
    log = root/'CHANGELOG.md'
    heading = f'## {new}, {time.strftime("%Y-%m-%d")}'
    log.write_text(NEWEST.sub(heading, log.read_text(encoding='utf-8'), count=1), encoding='utf-8')


def release(root:Path, # the project's folder, a checkout
            new:str    # the version to be
           ):          # ReleaseError
    "Change the version, commit and tag it, and build what is to be published"
    def git(*words): return subprocess.run(['git', *words], cwd=root, check=True, capture_output=True, text=True).stdout
    if git('status', '--porcelain', '--untracked-files=no'): raise ReleaseError('Commit what you changed first.')
    check(root, new)
    if f'v{new}' in git('tag').split(): raise ReleaseError(f'{new} was released already.')
    bump(root, new)
    git('commit', '--all', '--message', f'Release {new}')
    git('tag', f'v{new}')
    subprocess.run([sys.executable, '-m', 'build', '--no-isolation', '--outdir', root/'dist', root], check=True,
                   capture_output=True)


if __name__ == '__main__':
    try: release(ROOT, sys.argv[1])
    except ReleaseError as e: sys.exit(str(e))
    print(f'Version {sys.argv[1]} is committed, tagged and built in dist/. Next: git push --follow-tags, and '
          'python -m twine upload dist/*')
