"Every notebook and every test, counted: the command behind `make test`"
import json, os, re, subprocess, sys, time
import xml.etree.ElementTree as ET
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT, BIN = Path(__file__).resolve().parent.parent, Path(sys.executable).parent


def shown(command, env):
    "Run a command, pass on what it prints, and return its exit status and its output"
    print(f'\n=== {" ".join(map(str, command[1:] if command[0] == sys.executable else command))}', flush=True)
    lines = []
    piped = dict(text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    with subprocess.Popen(command, cwd=ROOT, env=env, **piped) as process:
        for line in process.stdout:
            print(line, end='', flush=True)
            lines.append(line)
    return process.returncode, ''.join(lines)


def is_skipped(path):
    "Does a notebook say that it is not to be run? nbdev reads that from its first cells, and counts it as passed"
    cells = json.loads(Path(path).read_text(encoding='utf-8'))['cells']
    skip = re.compile(r'^[-\s]*skip_exec:\s*(true|yes|1)', re.IGNORECASE | re.MULTILINE)
    return any(skip.search(''.join(cell['source'])) for cell in cells[:2])


def notebooks(env):
    "How many notebooks passed, failed and were skipped"
    from nbdev.doclinks import nbglob
    os.chdir(ROOT)
    # The lessons themselves run in tests/test_exercises.py, together with their answers.
    lessons = {path.name for path in (ROOT/'nbs').glob('[0-9]*.ipynb')}
    paths = [path for path in nbglob(as_path=True) if path.name not in lessons]
    skipped, left_out = sum(map(is_skipped, paths)), f'^[_.]|^({"|".join(sorted(lessons))})$'
    how = ['--n-workers', '2', '--timing', '--do-print', '--skip-file-re', left_out]
    status, output = shown([BIN/'nbdev-test', *how], env)
    named = re.search(r'Failed On The Following Notebooks:\n=+\n((?:\t.+\n?)+)', output)
    failed = len(named[1].strip().splitlines()) if named else int(status != 0)
    return len(paths) - failed - skipped, failed, skipped


def tests(env, report):
    "How many tests passed, failed and were skipped"
    side_by_side = ['-n', '2', '--dist', 'loadfile', '--no-loadscope-reorder'] # in the order of conftest.py
    how = ['-q', '-rs', *side_by_side, '--durations=8', f'--junitxml={report}']
    status, _ = shown([sys.executable, '-m', 'pytest', *how, 'tests'], env)
    if not report.exists(): return 0, 1, 0
    suite = ET.parse(report).getroot().find('testsuite')
    count, failures, errors, skipped = (int(suite.get(name)) for name in ('tests', 'failures', 'errors', 'skipped'))
    return count - failures - errors - skipped, failures + errors or int(status != 0), skipped


def main():
    start = time.time()
    with TemporaryDirectory() as folder:
        env = os.environ | {
            'ASL_SIGNS_CACHE': f'{folder}/cache', # nothing trained by an earlier version is taken for this one's
            'ASL_SIGNS_EPOCHS': os.environ.get('ASL_SIGNS_EPOCHS') or '1', # that training works, not how well
            'OMP_NUM_THREADS': '1', # two notebooks at once on two cores: four threads would get in each other's way
            'PYTHONWARNINGS': 'ignore:`torch.jit.script` is deprecated,ignore:IProgress not found'}
        counts = [notebooks(env), tests(env, Path(folder)/'tests.xml')]
    passed, failed, skipped = (sum(column) for column in zip(*counts))
    print(f'\n{time.time()-start:.0f} seconds\n{passed} passed, {failed} failed, {skipped} skipped', flush=True)
    return int(failed > 0)


if __name__ == '__main__':
    try: sys.exit(main())
    except KeyboardInterrupt: sys.exit('\nInterrupted.')
