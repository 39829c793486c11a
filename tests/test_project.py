"The project itself: notebooks, modules, README and versions are in step, and what is committed is small and clean"
import configparser, filecmp, importlib, inspect, json, re, shutil, subprocess, sys, tomllib
from pathlib import Path
import nbformat
import pytest
from fastcore.docments import docments
import asl_signs
from report import fronts_in, lessons_in, parts_in
from pages import readme
from stamps import STAMPED, address, stamp
from numbers_of_record import KNOWN
from prose import NAMES, NUMBER, looks_measured, plain, prose, unaccounted

ROOT = Path(__file__).resolve().parent.parent
NBS, BIN = ROOT/'nbs', Path(sys.executable).parent
NOTEBOOKS = [*fronts_in(NBS), *lessons_in(NBS), *parts_in(NBS)]
MODULES = sorted('.'.join(file.relative_to(ROOT/'asl_signs').with_suffix('').parts)
                 for file in (ROOT/'asl_signs').rglob('[a-z]*.py'))
LINTED = 'asl_signs', 'tools', 'tests', 'bench', 'setup.py'
TOOLS = sorted(file.stem for file in (ROOT/'tools').glob('*.py'))
notebooks = pytest.mark.parametrize('path', NOTEBOOKS, ids=lambda path: path.stem)


@pytest.fixture(scope='session')
def remade(tmp_path_factory):
    "A copy of the project in which modules were exported and notebooks cleaned anew"
    copy = tmp_path_factory.mktemp('remade')
    shutil.copytree(NBS, copy/'nbs', ignore=shutil.ignore_patterns('out', '.ipynb_checkpoints'))
    shutil.copytree(ROOT/'asl_signs', copy/'asl_signs', ignore=shutil.ignore_patterns('__pycache__'))
    for name in ('pyproject.toml', 'settings.ini'): shutil.copy(ROOT/name, copy)
    for command in ('nbdev-export', 'nbdev-clean'): subprocess.run([BIN/command], cwd=copy, check=True)
    return copy


def test_modules_are_in_step_with_notebooks(remade):
    files = [file.relative_to(remade/'asl_signs') for file in (remade/'asl_signs').rglob('*.py')]
    same, different, missing = filecmp.cmpfiles(ROOT/'asl_signs', remade/'asl_signs', files, shallow=False)
    assert not different + missing, 'run `make prepare`'


@notebooks
def test_notebooks_are_clean(path, remade):
    assert path.read_bytes() == (remade/path.relative_to(ROOT)).read_bytes(), 'run `nbdev-clean`'


@pytest.mark.parametrize('name', MODULES)
def test_every_module_has_its_notebook(name):
    text = (ROOT/'asl_signs'/f'{name.replace(".", "/")}.py').read_text()
    source = re.search(r'File to edit: (?:\.\./)+(.+?)\.$', text, re.MULTILINE)
    assert (ROOT/source[1]).exists()


def test_readme_is_in_step_with_index():
    for name, content in readme(NBS).items(): assert (ROOT/name).read_bytes() == content, 'run `make prepare`'


def test_readme_links_lead_somewhere():
    for link in re.findall(r'\]\((?!\w+:|#)([^)#]+)', (ROOT/'README.md').read_text()): assert (ROOT/link).exists(), link


@notebooks
def test_links_between_notebooks_lead_somewhere(path):
    for cell in nbformat.read(path, 4).cells:
        if cell.cell_type != 'markdown': continue
        for link in re.findall(r'\]\((?!\w+:|#)([^)#]+)', cell.source): assert (path.parent/link).exists(), link


@pytest.mark.parametrize('path', lessons_in(NBS), ids=lambda path: path.stem)
def test_lessons_begin_with_the_cells_that_are_the_same_in_all(path):
    nb = nbformat.read(path, 4)
    before = [cell.source for cell in nb.cells]
    assert [cell.source for cell in stamp(nb, path, address()).cells] == before, 'run `make prepare`'


def test_versions_agree():
    config = configparser.ConfigParser()
    config.read(ROOT/'settings.ini')
    assert asl_signs.__version__ == config['DEFAULT']['version'] == importlib.metadata.version('asl_signs')


@notebooks
def test_outputs_are_saved_small_and_without_errors(path):
    outputs = [o for cell in nbformat.read(path, 4).cells for o in cell.get('outputs', [])]
    assert outputs, 'a reader on the web sees no results: run `make prepare`'
    assert path.stat().st_size < 300_000
    assert 'error' not in {o.output_type for o in outputs}
    assert not re.search(r'/(home|root|tmp|work|Users)/', str(outputs)), 'an output shows a path of one machine'


@pytest.mark.parametrize('path', lessons_in(NBS), ids=lambda path: path.stem)
def test_lessons_are_more_prose_than_code(path):
    cells = [cell for cell in nbformat.read(path, 4).cells if cell.get('id') not in STAMPED]
    def length(kind): return sum(len(cell.source) for cell in cells if cell.cell_type == kind)
    assert length('markdown') > .8*length('code')


@pytest.mark.parametrize('file', sorted((ROOT/'results').rglob('*.json')), ids=lambda file: file.stem)
def test_results_are_json_for_any_program(file):
    def refuse(word): raise ValueError(f'{word} is no JSON')
    assert json.loads(file.read_text(encoding='utf-8'), parse_constant=refuse)


def wrong_numbers(path, lines):
    "In lessons and on the front page every number counts; in parts, those that look measured"
    lesson = path.parent == NBS
    return unaccounted(lines, KNOWN.get(path.stem if lesson else path.stem[3:], {}), every=lesson)


@notebooks
def test_numbers_in_prose_are_numbers_of_record(path):
    "Each stands in results/, or in numbers_of_record.py with the reason why not"
    assert wrong_numbers(path, prose(path)) == []


def other(quoted): return f'{quoted[:-1]}{(int(quoted[-1]) + 1) % 10}'


@notebooks
def test_no_number_can_be_changed_without_being_noticed(path):
    lines = prose(path)
    for at, line in enumerate(lines):
        names = [name.span() for name in NAMES.finditer(line)]
        for found in NUMBER.finditer(line):
            if any(start <= found.start() < end for start, end in names): continue
            if path.parent != NBS and not looks_measured(line, found): continue
            wrong = f'{line[:found.start()]}{other(found[0])}{line[found.end():]}'
            changed = [*lines[:at], wrong, *lines[at+1:]]
            assert wrong_numbers(path, changed), f'{other(found[0])} instead of {found[0]} in: {line}'


@pytest.mark.parametrize('sentence', [
    'It read 73.21 % of 420.', 'It read 73 % of them.', 'From 61 to 70 %.', 'The correlation is 0.61.',
    'So 37 of 40 were right.', 'Read in 4.2 ms, or −3 points.', 'Twice, or 2.3 times as fast.',
    'That takes 41 seconds and 512 MB.', 'An accuracy of .61, by 1,234 pictures.'])
def test_a_made_up_number_is_noticed(sentence):
    for path in NOTEBOOKS:
        assert 'where does this come from?' in ' '.join(wrong_numbers(path, [*prose(path), plain(sentence)]))


def test_a_number_that_is_another_in_results_is_noticed():
    said = 'It read 61.95 % of 870'
    assert unaccounted([f'{said}.'], {said: [61.954, 870]}) == []
    assert 'is 61.96' in unaccounted([f'{said}.'], {said: [61.96, 870]})[0]
    assert 'has 2 numbers, and 1 sources' in unaccounted([f'{said}.'], {said: [61.95]})[0]
    assert 'no longer said' in unaccounted(['Well.'], {said: [61.95, 870]})[0]


def public_functions(module):
    "Functions, and methods of classes, that a module offers"
    own = [name for name, thing in vars(module).items()
           if name[0] != '_' and getattr(thing, '__module__', '') == module.__name__]
    for thing in (getattr(module, name) for name in getattr(module, '__all__', own)):
        if inspect.isfunction(thing): yield thing
        if inspect.isclass(thing):
            yield from (f for name, f in vars(thing).items() if inspect.isfunction(f) and name[0] != '_')


@pytest.mark.parametrize('name', [*(f'asl_signs.{name}' for name in MODULES), *TOOLS])
def test_public_functions_say_what_they_take_and_return(name):
    for function in public_functions(importlib.import_module(name)):
        name, text = function.__qualname__, (function.__doc__ or '').strip()
        assert text and '\n' not in text, f'{name}: one line of docstring'
        kinds = {p.name: p.kind for p in inspect.signature(function).parameters.values()}
        for argument, comment in docments(function).items():
            if argument in ('self', 'return') or kinds[argument] == inspect.Parameter.VAR_KEYWORD: continue
            assert comment, f'{name}: a comment for {argument}'
        returns = docments(function, full=True)['return']
        assert returns.docment or returns.anno is inspect.Parameter.empty, f'{name}: a comment for what it returns'


ROOMS = { # folder -> what a module in it must not bring along, at import
    'core': {'torch', 'fastai', 'mediapipe', 'pandas', 'sklearn', 'scipy', 'matplotlib', 'onnxruntime', 'gradio'},
    'runtime': {'torch', 'fastai', 'mediapipe', 'pandas', 'sklearn', 'scipy', 'matplotlib', 'onnxruntime', 'gradio'},
    'datasets': {'torch', 'fastai', 'mediapipe', 'onnxruntime', 'gradio'},
    'metrics': {'mediapipe', 'gradio'}, 'train': {'mediapipe', 'gradio'}, 'models': {'mediapipe', 'gradio'},
    'web': {'torch', 'fastai', 'mediapipe', 'pandas', 'sklearn', 'scipy'}}


@pytest.mark.parametrize('room', ROOMS)
def test_a_room_brings_no_more_along_than_it_may(room):
    modules = [f'asl_signs.{name}' for name in MODULES if name.startswith(f'{room}.')]
    script = f'import sys, {", ".join(modules)}; sys.exit(" ".join({ROOMS[room]!r} & {{*sys.modules}}) or 0)'
    done = subprocess.run([sys.executable, '-c', script], capture_output=True, text=True)
    assert not done.returncode, done.stderr


def test_what_is_imported_to_read_pictures_is_light():
    light = 'asl_signs', 'asl_signs.inference', 'asl_signs.cli', 'asl_signs.app'
    script = f'import sys, {", ".join(light)}; sys.exit(" ".join({ROOMS["runtime"]!r} & {{*sys.modules}}) or 0)'
    subprocess.run([sys.executable, '-c', script], check=True)


def test_the_top_level_stays_short(): assert len([name for name in MODULES if '.' not in name]) <= 10


def test_code_is_linted():
    done = subprocess.run([BIN/'ruff', 'check', '--no-cache', '--output-format', 'concise', *LINTED], cwd=ROOT,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize('line', ['f = lambda x: x', 'import os', f"a = '{'a'*120}'", 'print(nowhere)'])
def test_the_linter_looks(line):
    command = [BIN/'ruff', 'check', '--no-cache', '--stdin-filename', 'tools/new.py', '-']
    assert subprocess.run(command, cwd=ROOT, input=f'{line}\n', capture_output=True, text=True).returncode == 1


def test_long_lines_are_excused_file_by_file():
    excused = tomllib.loads((ROOT/'pyproject.toml').read_text())['tool']['ruff']['lint']['per-file-ignores']
    assert not [pattern for pattern, rules in excused.items() if '*' in pattern or not pattern.endswith('.py')]


def test_documentation_can_be_made():
    "As far as that goes without quarto: nbdev's own processing of every notebook"
    script = """if True:
        import sys, warnings
        from fastcore.nbio import read_nb
        from nbdev.processors import FilterDefaults
        warnings.filterwarnings('error', 'Found cells containing imports')
        for path in sys.argv[1:]: FilterDefaults()(read_nb(path))"""
    done = subprocess.run([sys.executable, '-c', script, *NOTEBOOKS], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
