"The command `asl-signs` as people and programs use it: odd names, pipes, interruptions, what is not installed"
import json, os, signal, subprocess, sys
from pathlib import Path
import pytest
from asl_signs import __version__
from asl_signs.cli import main
from asl_signs.datasets.drawing import portrait
from asl_signs.core.signs import SIGNS

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def picture(tmp_path):
    portrait('H').save(file := tmp_path/'mine.jpg')
    return file


def ran(capsys, *argv):
    "Exit status, standard output and standard error of the command, run in this process"
    try: status = main([*map(str, argv)])
    except SystemExit as end: status = end.code
    return status, *capsys.readouterr()


def command(*argv, code='', wrapped=(), **how):
    "The command in a process of its own, after some code"
    start = f'import sys\n{code}\nfrom asl_signs.cli import main\nsys.exit(main())'
    env = dict(os.environ, PYTHONPATH=str(ROOT), **how.pop('env', {}))
    return subprocess.run([*wrapped, sys.executable, '-c', start, *map(str, argv)], env=env, capture_output=True, **how)


def one_sentence(text): return text.strip().endswith('.') and len(text.strip().splitlines()) == 1


# What is asked

@pytest.mark.parametrize('threshold', ['90', 'nan', '-0.1', '1.01', 'inf', 'much', ''])
@pytest.mark.parametrize('name', ['read', 'evaluate'])
def test_a_threshold_is_from_0_to_1(name, threshold, capsys):
    status, out, err = ran(capsys, name, '--no-hands', '--threshold', threshold, 'x')
    assert status == 2 and out == '' and 'from 0 to 1' in err.splitlines()[-1]
    assert ('say 0.9' in err) == (threshold == '90')


def test_the_threshold_reaches_the_reader(picture, capsys):
    def sign(threshold):
        return json.loads(ran(capsys, 'read', '--no-hands', '--json', '--threshold', threshold, picture)[1])[0]['sign']
    assert (sign(1), sign(0) in SIGNS) == (None, True)
    assert ran(capsys, 'read', '--sure', '.5', picture)[0] == 2 # its name until version 0.1


@pytest.mark.parametrize('port', ['0', '-1', '70000', 'http', '7860.5', '²'])
def test_a_port_is_from_1_to_65535(port, capsys):
    status, out, err = ran(capsys, 'app', '--port', port)
    assert status == 2 and 'from 1 to 65535' in err.splitlines()[-1] and 'Traceback' not in err


def test_a_hand_model_that_is_none_is_a_sentence(tmp_path, monkeypatch, capsys):
    (tmp_path/'cut.task').write_bytes(b'PK')
    monkeypatch.setenv('ASL_SIGNS_HAND_MODEL', str(tmp_path/'cut.task'))
    status, out, err = ran(capsys, 'hands')
    assert status != 0 and out == '' and 'is not the hand model that is needed' in err and 'Traceback' not in err


def test_the_hand_model_is_fetched_when_asked_for(tmp_path, monkeypatch, capsys):
    "Fetching is tested with `hand_model`; here, what the command makes of it"
    from asl_signs.runtime import hand_model, reader
    monkeypatch.setattr(hand_model, 'hand_model', lambda: tmp_path/'hand_landmarker.task')
    for reason, status in ('', 0), ('MediaPipe is not installed.', 1):
        monkeypatch.setattr(reader, 'reason_against_hands', lambda: reason)
        found, out, err = ran(capsys, 'hands')
        assert (found, err.strip()) == (status, reason) and f'is at {tmp_path}' in out


def test_how_many_views_there_are_is_said_by_the_reader(picture, capsys):
    status, out, err = ran(capsys, 'read', '--views', 17, picture)
    assert status == 1 and out == '' and 'views=17 cannot be done: it is a whole number from 1 to' in err


def test_the_version(capsys):
    assert ran(capsys, '--version') == (0, f'asl-signs {__version__}\n', '')


def test_help_and_refusals_wait_for_no_import():
    code = ("import atexit\n"
            "atexit.register(lambda: print([name for name in ('numpy', 'PIL', 'onnxruntime') if name in sys.modules]))")
    for argv in (['--help'], ['--version'], ['read', '--threshold', '90', 'x']):
        assert command(*argv, code=code, text=True).stdout.splitlines()[-1] == '[]'


# Which pictures

def test_a_folder_of_pictures_without_signs_is_read(tmp_path, capsys):
    for name in ('b.png', 'later/a.png', 'A/c.png'):
        (file := tmp_path/name).parent.mkdir(exist_ok=True)
        portrait('B').save(file)
    (tmp_path/'notes.txt').write_text('no picture')
    status, out, _ = ran(capsys, 'read', '--no-hands', '--json', tmp_path)
    assert status == 0
    expected = [str(tmp_path/name) for name in ('A/c.png', 'b.png', 'later/a.png')]
    assert [entry['file'] for entry in json.loads(out)] == expected
    status, out, _ = ran(capsys, 'read', '--no-hands', tmp_path)
    assert status == 0 and len(out.splitlines()) == 4


def test_an_empty_folder_is_a_row_and_the_others_are_read(picture, tmp_path, capsys):
    (tmp_path/'empty').mkdir()
    status, out, _ = ran(capsys, 'read', '--no-hands', '--json', tmp_path/'empty', picture)
    empty, good = json.loads(out)
    assert status == 1 and 'no picture' in empty['error'] and good['best'] in SIGNS
    assert empty['file'] == str(tmp_path/'empty') and good['file'] == str(picture)


def test_a_missing_file_is_a_row(picture, tmp_path, capsys):
    status, out, err = ran(capsys, 'read', '--no-hands', tmp_path/'absent.jpg', picture)
    rows = out.splitlines()
    assert status == 1 and len(rows) == 3 and 'does not exist' in rows[1] and str(picture) in rows[2] and err == ''


@pytest.mark.parametrize('name', ['', 'x'*300, 'absent\0.jpg'])
def test_a_name_that_no_file_can_have_is_a_row(name, capsys):
    status, out, err = ran(capsys, 'read', '--no-hands', '--json', name)
    assert status == 1 and len(json.loads(out)) == 1 and 'error' in json.loads(out)[0] and err == ''


@pytest.mark.parametrize('pattern, found', [
    ('*.jpg', ['a.jpg', 'b.jpg', '[a].jpg']), ('[ab].jpg', ['a.jpg', 'b.jpg']), ('?.jpg', ['a.jpg', 'b.jpg']),
    ('[a].jpg', ['[a].jpg']),
    ('**/*.jpg', ['a.jpg', 'b.jpg', '[a].jpg', 'below/c.jpg']), ('**', ['a.jpg', 'b.jpg', '[a].jpg', 'below/c.jpg']),
    ('bel*', ['below/c.jpg']), ('none-*.jpg', ['none-*.jpg'])])
def test_patterns_are_expanded_where_the_shell_does_not(pattern, found, tmp_path, capsys, monkeypatch):
    (tmp_path/'below').mkdir()
    for name in ('a.jpg', 'b.jpg', '[a].jpg', 'below/c.jpg'): portrait('B').save(tmp_path/name)
    monkeypatch.chdir(tmp_path)
    status, out, _ = ran(capsys, 'read', '--no-hands', '--json', pattern)
    entries = json.loads(out)
    assert sorted(Path(entry['file']).as_posix() for entry in entries) == sorted(found)
    assert status == ('error' in entries[0]) == (pattern == 'none-*.jpg')


def test_standard_input_is_read(picture):
    alone = json.loads(command('read', '--no-hands', '--json', picture).stdout)[0]
    done = command('read', '--no-hands', '--json', '-', picture, '-', input=picture.read_bytes())
    sent, same, again = json.loads(done.stdout)
    assert done.returncode == 0 and sent['file'] == again['file'] == '-'
    assert sent['best'] == again['best'] == same['best'] == alone['best']
    assert b'-  ' in command('read', '--no-hands', '-', input=picture.read_bytes()).stdout


@pytest.mark.parametrize('sent', [b'', b'no picture'])
def test_standard_input_without_a_picture_is_a_row(sent):
    done = command('read', '--no-hands', '-', input=sent, text=False)
    assert done.returncode == 1 and b'This picture' in done.stdout and done.stderr == b''
    shut = command('read', '--no-hands', '-', code='sys.stdin = None')
    assert shut.returncode == 1 and b'This picture' in shut.stdout


# Counting

@pytest.mark.parametrize('what, words', [
    ('nosuch', 'does not exist'), ('file', 'is a file'), ('empty', 'no picture'), ('unlabelled', '2 of 3 pictures'),
    ('nameless', 'does not exist')])
def test_a_folder_that_cannot_be_counted_is_a_sentence(what, words, tmp_path, capsys):
    (folder := tmp_path/what).parent.mkdir(exist_ok=True)
    if what == 'file': portrait('A').save(folder, 'JPEG')
    if what in ('empty', 'unlabelled'): folder.mkdir()
    if what == 'unlabelled':
        for name in ('A_test.jpg', 'holiday.jpg', 'mine.jpg'): portrait('A').save(folder/name)
    status, out, err = ran(capsys, 'evaluate', '--no-hands', '' if what == 'nameless' else folder)
    assert status == 1 and out == '' and words in err and len(err.splitlines()) == 1
    assert ('asl-signs read' in err) == (what in ('file', 'unlabelled'))


@pytest.fixture
def twice(tmp_path):
    "Test pictures of two signs, each a second time in a nested folder, as Kaggle's archive has them"
    for folder in ('test', 'test/test'):
        for name in ('A/A0001_test.jpg', 'A/A0002_test.jpg', 'B/B0001_test.jpg'):
            (file := tmp_path/folder/name).parent.mkdir(parents=True, exist_ok=True)
            portrait(name[0], side=90 + int(name[5])).save(file)
    return tmp_path/'test'


def test_second_copies_of_test_pictures_count_once(twice, capsys):
    status, out, err = ran(capsys, 'evaluate', '--no-hands', '--json', twice)
    about = json.loads(out)
    assert status == 0 and (about['pictures'], about['copies'], about['unread']) == (3, 3, 0)
    assert {sign: of for sign, (_, of) in about['signs'].items()} == dict(A=2, B=1)
    assert 'not counted: 3' in err and one_sentence(err) and str(twice/'test') in err
    _, out, _ = ran(capsys, 'evaluate', '--no-hands', twice)
    assert ' of 3 pictures are right' in out and 'every picture counted' in out


def test_pictures_that_merely_have_the_same_name_all_count(twice, tmp_path, capsys):
    for person in ('ann', 'bob'):
        (folder := tmp_path/'own'/person/'A').mkdir(parents=True)
        for name in ('1.jpg', 'A0001_test.jpg'):
            portrait('A', side=90 + len(person)*(person == 'bob')).save(folder/name)
    about = json.loads(ran(capsys, 'evaluate', '--no-hands', '--json', tmp_path/'own')[1])
    assert about['pictures'] == 4 and about['copies'] == 0


def test_a_picture_that_cannot_be_read_is_a_wrong_answer(twice, capsys):
    (twice/'B'/'B0007_test.jpg').write_bytes(b'no picture')
    status, out, _ = ran(capsys, 'evaluate', '--no-hands', '--json', twice)
    assert status == 1 and json.loads(out)['signs']['B'][1] == 2


# Names that a terminal cannot show

NAMES = {'line break': 'a\nb', 'escape': 'a\x1b[2Jb', 'turned': 'gpj.\u202ea', 'bytes': 'a\udcffb', 'accents': 'Zoë',
         'Chinese': '手', 'tab': 'a\tb',
         'separator': 'a\u2028b', 'deleted': 'a\x7fb', 'C1': 'a\x9b2Jb'}


@pytest.mark.parametrize('encoding', ['utf-8', 'ascii', 'latin-1', 'cp1252'])
def test_odd_names_do_not_cost_the_table(encoding, tmp_path):
    for name in NAMES.values(): portrait('B').save(tmp_path/f'{name}.jpg')
    done = command('read', '--no-hands', '.', cwd=tmp_path, env=dict(PYTHONIOENCODING=encoding))
    out = done.stdout.decode(encoding)
    assert done.returncode == 0 and done.stderr == b'' and len(out.splitlines()) == 1 + len(NAMES)
    assert all(c.isprintable() for c in out.replace('\n', '').replace('\r', ''))
    assert ('Zoë' in out) == (encoding != 'ascii') and ('手' in out) == (encoding == 'utf-8')
    column = {row.index('%') for row in out.splitlines()[1:]}
    assert len(column) == 1, 'the columns are not aligned'


@pytest.mark.parametrize('encoding', ['utf-8', 'ascii', 'latin-1'])
def test_odd_names_are_valid_json(encoding, tmp_path):
    for name in NAMES.values(): portrait('B').save(tmp_path/f'{name}.jpg')
    done = command('read', '--no-hands', '--json', '.', cwd=tmp_path, env=dict(PYTHONIOENCODING=encoding))
    read = json.loads(done.stdout.decode(encoding))
    assert {entry['file'] for entry in read} == {f'{name}.jpg' for name in NAMES.values()}


@pytest.mark.parametrize('name', NAMES.values(), ids=NAMES)
def test_odd_names_in_sentences_stay_one_line(name, tmp_path):
    done = command('evaluate', '--no-hands', tmp_path/name, env=dict(PYTHONIOENCODING='ascii'))
    assert done.returncode == 1 and b'Traceback' not in done.stderr and one_sentence(done.stderr.decode('ascii'))
    assert b'\x1b' not in done.stderr


def test_the_card_is_shown_where_there_are_few_letters():
    done = command('info', env=dict(PYTHONIOENCODING='ascii'))
    assert done.returncode == 0 and b'no translator' in done.stdout and done.stderr == b''


# Interruptions and pipes

# which a shell may have switched off
PATIENT = 'import signal; signal.signal(signal.SIGINT, signal.default_int_handler)'


def interrupted(*argv):
    "What a command prints, and its exit status, if it gets Ctrl+C after its first row; its pipe is full by then"
    start = f'import sys\n{PATIENT}\nfrom asl_signs.cli import main\nsys.exit(main())'
    process = subprocess.Popen([sys.executable, '-c', start, *map(str, argv)],
                               env=dict(os.environ, PYTHONPATH=str(ROOT)),
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    begun = process.stdout.readline() + process.stdout.readline()
    process.send_signal(signal.SIGINT)
    # communicate would forget what readline has taken beforehand
    rest, err = process.stdout.read(), process.stderr.read()
    return begun + rest, err, process.wait()


@pytest.mark.skipif(os.name == 'nt', reason='Windows sends Ctrl+C to whole consoles')
def test_ctrl_c_leaves_what_was_read(picture):
    many = [picture]*20_000  # far more rows than a pipe holds
    out, err, status = interrupted('read', '--no-hands', *many)
    rows = out.splitlines()
    assert status == 130 and err == '' and 2 <= len(rows) < len(many)
    assert all(row.startswith(str(picture)) for row in rows[1:])
    out, err, status = interrupted('read', '--no-hands', '--json', *many)
    assert status == 130 and err == '' and 1 <= len(json.loads(out)) < len(many)


STOPPED = '''from asl_signs.runtime.reader import SignReader
whole = SignReader.read_many
def two(self, *args, **kwargs):
    readings = whole(self, *args, **kwargs)
    for _ in range({}): yield next(readings)
    raise KeyboardInterrupt
SignReader.read_many = two'''


@pytest.mark.parametrize('count', [0, 2])
def test_ctrl_c_leaves_what_was_counted(count, twice):
    done = command('evaluate', '--no-hands', '--json', twice/'test', code=STOPPED.format(count), text=True)
    about = json.loads(done.stdout)
    assert done.returncode == 130 and (about['pictures'], about['unread']) == (count, 3 - count)
    assert 'Traceback' not in done.stderr
    assert sum(of for _, of in about['signs'].values()) == count and f'{count} of 3 pictures were read' in done.stderr
    done = command('evaluate', '--no-hands', twice/'test', code=STOPPED.format(count), text=True)
    assert done.returncode == 130 and 'every picture counted' not in done.stdout and 'Traceback' not in done.stderr


@pytest.mark.parametrize('json_or_not', [[], ['--json']])
def test_ctrl_c_before_the_first_reading(json_or_not, picture):
    done = command('read', '--no-hands', *json_or_not, picture, code=STOPPED.format(0), text=True)
    assert done.returncode == 130 and done.stderr == '' and (not json_or_not or json.loads(done.stdout) == [])


@pytest.mark.skipif(os.name == 'nt', reason='there is no bash')
@pytest.mark.parametrize('argv', [['read', '--no-hands'], ['read', '--no-hands', '--json'], ['info'], ['--help']])
def test_a_closed_pipe_is_quiet(argv, picture):
    "`true` reads nothing, and the command waits until it has ended"
    waits = 'import os; os.read(0, 1)'
    start = f'import sys\n{waits}\nfrom asl_signs.cli import main\nsys.exit(main())'
    read, write = os.pipe()
    process = subprocess.Popen([sys.executable, '-c', start, *argv, *[picture]*(argv[0] == 'read')],
                               stdin=subprocess.PIPE, stdout=write,
                               stderr=subprocess.PIPE, env=dict(os.environ, PYTHONPATH=str(ROOT)))
    os.close(write)
    os.close(read)
    _, err = process.communicate(b'x', timeout=300)
    assert err == b'' and process.returncode == (0 if argv == ['--help'] else 141)


@pytest.mark.skipif(not Path('/dev/full').exists(), reason='there is no /dev/full')
def test_a_full_disk_is_a_sentence(picture):
    with open('/dev/full', 'wb') as full:
        done = subprocess.run([sys.executable, '-m', 'asl_signs.cli', 'read', '--no-hands', picture], stdout=full,
                              stderr=subprocess.PIPE,
                              env=dict(os.environ, PYTHONPATH=str(ROOT)))
    assert done.returncode == 1 and b'No space left' in done.stderr and len(done.stderr.splitlines()) == 1


def test_streams_that_are_not_there(twice):
    for absent in ('sys.stderr = None', 'sys.stdout = None', 'sys.stdout = sys.stderr = None'):
        assert command('evaluate', '--no-hands', twice, code=absent).returncode == 0
    done = command('evaluate', '--no-hands', '--json', twice, code='sys.stderr = None')
    assert json.loads(done.stdout)['pictures'] == 3


# What is missing, and what is broken

def fake(tmp_path, name, code):
    "A package that is found before the installed one"
    (folder := tmp_path/'fake'/name).mkdir(parents=True)
    (folder/'__init__.py').write_text(code)
    return f'sys.path.insert(0, {str(tmp_path/"fake")!r})'


# Only some modules are found, as where nothing else is installed.
FOUND = '''class Finder:
    def __init__(self, finder): self.finder = finder
    def find_spec(self, name, path=None, target=None):
        if is_there(name.partition('.')[0]): return self.finder.find_spec(name, path, target)
sys.meta_path[:] = map(Finder, sys.meta_path)'''
ABSENT = 'def is_there(name): return name != {!r}\n' + FOUND.replace('{', '{{').replace('}', '}}')


@pytest.mark.parametrize('module, package', [('PIL', 'pillow'), ('onnxruntime', 'onnxruntime'), ('numpy', 'numpy')])
def test_what_is_missing_is_named_as_pip_knows_it(module, package, picture):
    done = command('read', '--no-hands', picture, code=ABSENT.format(module), text=True)
    assert done.returncode == 1 and f'{module} is missing' in done.stderr and 'Traceback' not in done.stderr
    assert done.stderr.strip().lower().endswith(f'pip install {package}')


BROKEN = {'AttributeError': "raise AttributeError('no attribute get_spec')",
          'TypeError': "raise TypeError('too few arguments')",
          'a library of the system': "raise ImportError('libgomp.so.1: cannot open shared object file')",
          'half of it': 'import onnxruntime.capi_of_another_version',
          'an older half': 'from os import no_such_function'}


@pytest.mark.parametrize('code', BROKEN.values(), ids=BROKEN)
def test_what_is_broken_is_not_called_missing(code, picture, tmp_path):
    done = command('read', '--no-hands', picture, code=fake(tmp_path, 'onnxruntime', code), text=True)
    assert done.returncode == 1 and 'Traceback' not in done.stderr and len(done.stderr.splitlines()) == 1
    assert 'onnxruntime is installed, but' in done.stderr and 'missing' not in done.stderr
    reason = 'get_spec', 'too few', 'libgomp', 'capi_of_another_version', 'no_such_function'
    assert reason[[*BROKEN.values()].index(code)] in done.stderr


def test_what_a_library_lacks_is_said_with_its_name(picture, tmp_path):
    done = command('read', '--no-hands', picture, code=fake(tmp_path, 'onnxruntime', 'import no_such_module'),
                   text=True)
    assert 'no_such_module is missing, and onnxruntime needs it: pip install --upgrade onnxruntime' in done.stderr


def test_a_fault_of_ours_is_not_hidden(monkeypatch, tmp_path):
    monkeypatch.setattr('asl_signs.runtime.reader.pictures_below', lambda folder: [][0])
    with pytest.raises(IndexError): main(['evaluate', str(tmp_path)])


# Where there is nothing but ONNX Runtime, NumPy and Pillow

ALONE = '''LIGHT = {'asl_signs', 'onnxruntime', 'numpy', 'PIL', 'flatbuffers', 'packaging', 'google'}
def is_there(name): return name in LIGHT or name in sys.stdlib_module_names
''' + FOUND


def test_pictures_are_counted_where_there_is_little(twice, picture):
    done = command('evaluate', '--no-hands', '--json', twice, code=ALONE, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)['pictures'] == 3
    assert command('evaluate', twice, code=ALONE).returncode == 0
    assert command('read', twice, picture, code=ALONE).returncode == 0
    assert command('info', code=ALONE).returncode == 0
    done = command('app', code=ALONE, text=True)
    assert done.returncode == 1 and done.stderr.splitlines()[-1] == "gradio is missing: pip install 'asl_signs[app]'"
