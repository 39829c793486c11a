"Kaggle's own client in front of a stand-in for Kaggle: what arrives, what goes wrong, what is left"
import json, os, re, shutil, signal, ssl, subprocess, sys, threading, zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit
import pytest
import trustme
from asl_signs.datasets.archives import DataError, all_pictures
from asl_signs.datasets.kaggle import DATASETS, fetch
from asl_signs.datasets.sample import draw_sample
from waiting import LONG, wait_for

SLUG = 'someone/drawn-alphabet' # not on Kaggle, and so not mounted where these tests run either
MB = 1 << 20


class Kaggle(BaseHTTPRequestHandler):
    "A proxy that opens no connection, but answers for Kaggle, and for the place its archives are at"
    protocol_version = 'HTTP/1.1'

    def log_message(self, *_): pass

    def do_CONNECT(self):
        self.send_response(200)
        self.end_headers()
        self.connection = self.server.tls.wrap_socket(self.connection, server_side=True)
        self.rfile, self.wfile = self.connection.makefile('rb'), self.connection.makefile('wb')
        self.close_connection = False

    def finish(self):
        super().finish()
        self.connection.close()

    def do_POST(self):
        asked = self.path.split('/')[-1]
        about = json.loads(self.rfile.read(int(self.headers['Content-Length'])))
        self.server.asked.append(asked)
        if asked in self.server.complaints: self.complain(*self.server.complaints[asked])
        elif asked == 'DownloadDataset':
            place = f'https://storage.googleapis.com/{about["datasetSlug"]}?sign=5ec3e7'
            self.answer(302, b'', {'Location': place})
        else: self.answer(200, ANSWERS[asked].encode(), {'Content-Type': 'application/json'})

    def do_GET(self):
        wanted = self.headers.get('Range', 'bytes=0-')
        self.server.asked.append(wanted)
        archive = self.server.archives.get(urlsplit(self.path).path[1:], self.server.archive)
        part = archive[int(wanted.removeprefix('bytes=').removesuffix('-')):]
        about = {'ETag': '"drawn-1"', 'Accept-Ranges': 'bytes', 'Content-Length': str(len(part))}
        cut = self.server.cuts.pop(0) if self.server.cuts else len(part)
        if cut is None: return self.complain(400, 'This address has expired')
        self.answer(200 if wanted == 'bytes=0-' else 206, part[:cut], about)
        if cut < len(part): self.server.go_on.wait(LONG) # then the connection ends

    def complain(self, status, message):
        text = json.dumps(dict(code=status, message=message)) if message else f'Error {status}'
        kind = 'application/json' if message else 'text/plain'
        self.answer(status, text.encode(), {'Content-Type': kind})

    def answer(self, status, body, headers):
        self.send_response(status)
        usual = {'Content-Length': str(len(body)), 'Connection': 'close'}
        for name, value in (usual | headers).items(): self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()


ANSWERS = {'GetDatasetMetadata': '{"info": {"licenses": [{"name": "CC0-1.0"}]}}',
           'IntrospectToken': '{"active": true, "username": "someone"}'}


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_): pass # connections are broken on purpose


@pytest.fixture(scope='module')
def server(tmp_path_factory):
    "Listens on loopback, with a certificate for Kaggle's names"
    ca = trustme.CA()
    server = Server(('127.0.0.1', 0), Kaggle)
    server.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert('api.kaggle.com', 'storage.googleapis.com').configure_cert(server.tls)
    server.bundle = tmp_path_factory.mktemp('certificates')/'ca.pem'
    ca.cert_pem.write_to_path(server.bundle)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()


@pytest.fixture(scope='module')
def archives(tmp_path_factory):
    "The drawn sample as Kaggle would send it, made longer than the pieces in which the client writes"
    folder = tmp_path_factory.mktemp('drawn')
    sample = draw_sample(folder/'sample', frames=1, pictures=1, side=16)
    paths = [Path(shutil.make_archive(folder/at.name, 'zip', at)) for at in sample.glob('asl-*')]
    for path in paths:
        with zipfile.ZipFile(path, 'a') as zipped: zipped.writestr('notes.bin', os.urandom(3*MB))
    return {path.stem: path.read_bytes() for path in paths}


@pytest.fixture
def kaggle(server, archives, tmp_path, monkeypatch):
    "The stand-in as the only way out of this machine; no credentials, and a cache of its own"
    server.archives, server.archive = archives, archives['asl-alphabet']
    server.complaints, server.cuts, server.asked = {}, [], []
    server.go_on = threading.Event()
    server.go_on.set()
    for name in list(os.environ):
        if re.match('NO_PROXY|ALL_PROXY|KAGGLE|ASL_SIGNS', name.upper()): monkeypatch.delenv(name)
    proxy = f'http://127.0.0.1:{server.server_port}'
    for name in ('HTTPS_PROXY', 'https_proxy'): monkeypatch.setenv(name, proxy)
    monkeypatch.setenv('REQUESTS_CA_BUNDLE', str(server.bundle))
    monkeypatch.setenv('HOME', str(tmp_path/'home'))
    monkeypatch.setenv('ASL_SIGNS_CACHE', str(tmp_path/'cache'))
    yield server
    server.go_on.set()


@pytest.fixture
def cache(tmp_path): return tmp_path/'cache'


def files(cache):
    "What lies in the cache, locks aside"
    found = [file for file in cache.rglob('*') if file.is_file() and file.suffix != '.lock']
    return sorted(str(file.relative_to(cache)) for file in found)


@pytest.fixture
def refused(kaggle, cache, capfd):
    "What is said when fetching fails; nothing stays in the cache then"
    def check(*words, left=()):
        with pytest.raises(DataError) as error: fetch(SLUG)
        message, output = str(error.value), ''.join(capfd.readouterr())
        for word in words: assert word in message
        assert '\n' not in message and 'Traceback' not in message + output
        assert files(cache) == list(left)
        return message + output
    return check


def test_an_archive_arrives_is_unpacked_and_goes(kaggle, cache, capfd):
    folder = fetch(SLUG)
    assert folder == cache/'kaggle'/SLUG and len(all_pictures(folder)) == 29 + 28
    assert len(files(cache)) == 29 + 28 and all(file.endswith('.jpg') for file in files(cache))
    assert kaggle.asked == ['GetDatasetMetadata', 'DownloadDataset', 'bytes=0-'] # and no account
    assert '100%|' in capfd.readouterr().err
    kaggle.asked.clear()
    assert fetch(SLUG) == folder and not kaggle.asked


def test_an_archive_that_arrived_is_unpacked_without_asking_again(kaggle, cache):
    archive = cache/'downloads'/f'{SLUG}.zip'
    archive.parent.mkdir(parents=True)
    archive.write_bytes(kaggle.archive)
    half = cache/'kaggle'/Path(SLUG).parent/'.making-1'/Path(SLUG).name/'A' # of a process that was killed at unpacking
    half.mkdir(parents=True)
    (half/'A1.jpg').touch()
    assert len(all_pictures(fetch(SLUG))) == 29 + 28 and not kaggle.asked
    assert len(files(cache)) == 29 + 28


TOKEN = 'KGAT_0123456789abcdef0123456789abcdef'


@pytest.mark.parametrize('token', ['', TOKEN], ids=['visitor', 'token'])
@pytest.mark.parametrize('message', ['', f'Unauthenticated: {TOKEN}'], ids=['plain', 'json'])
def test_401_says_which_credentials(kaggle, refused, monkeypatch, token, message):
    monkeypatch.setenv('KAGGLE_API_TOKEN', token)
    kaggle.complaints['IntrospectToken' if token else 'GetDatasetMetadata'] = 401, message
    step = 'or remove them' if token else 'Make a token'
    output = refused('(401)', 'the variable KAGGLE_API_TOKEN', step)
    assert TOKEN not in output


@pytest.mark.parametrize('asked, message', [
    ('GetDatasetMetadata', ''),
    ('DownloadDataset', "Permission 'datasets.get' was denied"),
], ids=['plain', 'json'])
def test_403_says_where_to_consent(kaggle, refused, asked, message):
    kaggle.complaints[asked] = 403, message
    page = f'https://www.kaggle.com/datasets/{SLUG}'
    refused('(403)', f'Open {page}, sign in and accept', 'KAGGLE_API_TOKEN')


def test_404_says_to_search(kaggle, refused):
    kaggle.complaints['GetDatasetMetadata'] = 404, ''
    refused('(404)', SLUG, 'download it there and set ASL_SIGNS_DATA')


def test_no_network(refused, monkeypatch):
    for name in ('HTTPS_PROXY', 'https_proxy'): monkeypatch.setenv(name, 'http://127.0.0.1:9')
    refused('cannot be reached', 'Check the network')


@pytest.mark.parametrize('token', [TOKEN, 'short-one'])
def test_a_secret_that_comes_back_is_not_shown(kaggle, refused, monkeypatch, token):
    monkeypatch.setenv('KAGGLE_API_TOKEN', token)
    kaggle.complaints['GetDatasetMetadata'] = 418, f'A teapot got the token {token}'
    assert token not in refused('A teapot got the token …', SLUG, 'Run this again')


@pytest.fixture
def impatient(tmp_path, monkeypatch):
    "The client waits up to half a minute between its tries; here it does not"
    (tmp_path/'patch').mkdir()
    (tmp_path/'patch'/'sitecustomize.py').write_text('import time; time.sleep = lambda seconds: None')
    monkeypatch.setenv('PYTHONPATH', str(tmp_path/'patch'), prepend=os.pathsep)


def test_a_connection_cut_once_is_mended_by_the_client(kaggle, cache, impatient, capfd):
    kaggle.cuts = [2*MB]
    assert len(all_pictures(fetch(SLUG))) == 29 + 28
    assert len(kaggle.asked) == 4 and kaggle.asked[-1] > 'bytes=1' # what had arrived did not come again
    assert 'Retrying in' in capfd.readouterr().err


def test_a_connection_cut_for_good_is_continued_next_time(kaggle, cache, impatient, refused):
    kaggle.cuts = [2*MB] + 9*[0]
    part = f'downloads/{SLUG}/drawn-alphabet.zip'
    refused(SLUG, 'was cut off', 'Run this again', left=[part, f'{part}.kaggle-partial'])
    kaggle.cuts, kaggle.asked[:], arrived = [], [], (cache/part).stat().st_size
    assert len(all_pictures(fetch(SLUG))) == 29 + 28 and len(files(cache)) == 29 + 28
    assert arrived >= MB and kaggle.asked[-1] == f'bytes={arrived}-'


def test_a_complaint_is_not_taken_for_the_rest_of_an_archive(kaggle, cache, impatient):
    "The client asks again and keeps what had arrived (from 2.2.5 on)"
    kaggle.cuts = [2*MB] + 20*[None]
    with pytest.raises(DataError, match='was cut off.*Run this again'): fetch(SLUG)
    kaggle.cuts = []
    assert len(all_pictures(fetch(SLUG))) == 29 + 28 # nothing of the complaint is among it
    assert len(files(cache)) == 29 + 28


def damaged(archive):
    "The list of its contents is whole, the first picture is not"
    at = archive.index(b'.jpg') + 200
    return archive[:at] + bytes(50) + archive[at+50:]


def zipped(tmp_path, *names):
    with zipfile.ZipFile(tmp_path/'other.zip', 'w') as file:
        for name in names: file.writestr(name, 'something')
    return (tmp_path/'other.zip').read_bytes()


@pytest.mark.parametrize('content, words', [
    (lambda archive, tmp: damaged(archive), 'is damaged'),
    (lambda archive, tmp: archive[:2*MB], 'cannot be unpacked'),
    (lambda archive, tmp: b'<html>Please sign in</html>', 'cannot be unpacked'),
    (lambda archive, tmp: zipped(tmp, 'notes.txt', 'weather.csv'), 'holds no pictures'),
    (lambda archive, tmp: zipped(tmp, 'A/A1.jpg', '../../A/A2.jpg'),
     'has an entry that points outside its folder (../../A/A2.jpg)'),
], ids=['damaged', 'half', 'html', 'no pictures', 'outside'])
def test_an_archive_that_is_none_is_deleted_and_said(kaggle, refused, tmp_path, content, words):
    kaggle.archive = content(kaggle.archive, tmp_path)
    refused(f'for {SLUG} {words}', 'it was deleted', 'Run this again')


def test_a_full_disk_is_noticed_first(kaggle, cache, monkeypatch):
    monkeypatch.setattr('asl_signs.datasets.kaggle.places', lambda: [cache/'kaggle'])
    monkeypatch.setattr('shutil.disk_usage', lambda folder: shutil._ntuple_diskusage(2*MB, MB, MB))
    with pytest.raises(DataError) as error: fetch('grassknoted/asl-alphabet')
    for words in ('2.13 GB', '1.03 GB', '1.10 GB', '0.00 GB are free', 'ASL_SIGNS_CACHE'):
        assert words in str(error.value)
    assert not kaggle.asked and not files(cache)


def test_both_archives_become_three_sets(kaggle, cache, monkeypatch):
    from asl_signs.data import get_data
    monkeypatch.setattr('asl_signs.datasets.kaggle.places', lambda: [cache/'kaggle'])
    monkeypatch.setattr('shutil.disk_usage', lambda folder: shutil._ntuple_diskusage(9e9, 0, 9e9))
    for asked in 2, 0: # the second time, nobody is asked
        data = get_data('kaggle')
        sets = data.train, data.small_test, data.second_test, data.copies
        assert [len(pictures) for pictures in sets] == [29, 28, 29, 29]
        assert all(str(Path(dataset)) in data.source for dataset in DATASETS)
        assert kaggle.asked.count('bytes=0-') == asked
        kaggle.asked.clear()


FETCH = f"""
import sys
from asl_signs.datasets.kaggle import fetch
try: print(fetch({SLUG!r}))
except KeyboardInterrupt: sys.exit('Interrupted')
"""


def started(stderr=subprocess.PIPE, **options):
    "A process of its own that fetches"
    env = os.environ | {'PYTHONPATH': str(Path(__file__).resolve().parents[2])}
    return subprocess.Popen([sys.executable, '-c', FETCH], env=env, text=True,
                            stdout=subprocess.PIPE, stderr=stderr, **options)


def test_two_processes_at_once_fetch_once(kaggle, cache):
    both = [started(), started()]
    for process in both:
        out, err = process.communicate(timeout=LONG)
        assert (process.returncode, out.split()[-1]) == (0, str(cache/'kaggle'/SLUG)), err
    assert kaggle.asked.count('bytes=0-') == 1
    assert len(files(cache)) == 29 + 28


@pytest.mark.parametrize('interrupt', [os.kill, os.killpg], ids=['the process', 'with its client'])
def test_an_interruption_leaves_no_half_folder_and_is_made_good(kaggle, cache, tmp_path, monkeypatch, interrupt):
    monkeypatch.setenv('TQDM_MININTERVAL', '0') # the client's bar, however fast the pieces come
    kaggle.cuts = [2*MB + 100]
    kaggle.go_on.clear()
    # A background job ignores the interrupt, and its children with it.
    def heard(): signal.signal(signal.SIGINT, signal.SIG_DFL)
    part, log = cache/'downloads'/SLUG/'drawn-alphabet.zip', tmp_path/'log.txt'
    with log.open('w') as file: process = started(start_new_session=True, preexec_fn=heard, stderr=file)
    # Progress is shown before anything is complete, and a little later than it arrives.
    wait_for(lambda: part.exists() and part.stat().st_size >= MB and '%|' in log.read_text(), process)
    interrupt(process.pid, signal.SIGINT)
    process.communicate(timeout=LONG)
    err = log.read_text()
    assert (process.returncode, err.splitlines()[-1]) == (1, 'Interrupted') and 'Traceback' not in err
    left = part.name, f'{part.name}.kaggle-partial'
    assert files(cache) == [f'downloads/{SLUG}/{name}' for name in left]
    arrived = part.stat().st_size
    kaggle.asked.clear()
    assert len(all_pictures(fetch(SLUG))) == 29 + 28 and len(files(cache)) == 29 + 28
    assert kaggle.asked[-1] == f'bytes={arrived}-'
