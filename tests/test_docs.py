"The documentation: every page is there, in order; links lead somewhere, pictures are described, the search finds"
import json, re
from pathlib import Path
import pytest
from camera import CHROMIUM
from docs import TEXTS, linker, modules, where, write_docs
from links import broken, silent
from report import ROOMS, fronts_in, lessons_in, parts_in

ROOT = Path(__file__).resolve().parent.parent
NBS = ROOT/'nbs'


@pytest.fixture(scope='module')
def docs(tmp_path_factory):
    "The documentation of this project"
    write_docs(NBS, to := tmp_path_factory.mktemp('docs')/'made')
    return to


def test_every_notebook_has_a_page(docs):
    for path in (*fronts_in(NBS), *lessons_in(NBS), *parts_in(NBS)):
        assert (docs/path.relative_to(NBS).with_suffix('.html')).stat().st_size > 3000
    for name in TEXTS: assert (docs/name).with_suffix('.html').exists()


def test_pages_are_in_the_order_in_which_to_read_them(docs):
    menu = re.search(r'<nav class="pages".*?</nav>', (docs/'index.html').read_text(), re.DOTALL)[0]
    assert re.findall(r'<summary>(.*?)</summary>', menu) == ['Start', 'Lessons', *ROOMS, 'API', 'Project']
    addresses = re.findall(r'href="([^"]+)"', menu)
    assert addresses[:3] == ['index.html', 'using.html', 'results.html']
    lessons = [f'{path.stem}.html' for path in lessons_in(NBS)]
    assert addresses[3:3+len(lessons)] == lessons and addresses.count('CONTRIBUTING.html') == 1


def test_links_lead_somewhere_also_inside_pages(docs): assert broken(docs) == []


def test_pictures_are_described(docs): assert silent(docs) == []


def test_modules_say_what_they_offer(docs):
    text = (docs/'api'/'asl_signs.core.signs.html').read_text()
    assert 'Which signs there are' in text and 'id="sign_of"' in text and 'ValueError if neither' in text
    names = modules(ROOT/'asl_signs')
    assert names.index('asl_signs.data') < names.index('asl_signs.core.signs') < names.index('asl_signs.train.loaders')


def test_links_are_rewritten_for_where_the_page_is():
    link = linker(Path('core/00_signs.html'), Path('nbs/core/00_signs.ipynb'))
    assert link('../00_data.ipynb#the-film') == '../00_data.html#the-film'
    assert link('../../CONTRIBUTING.md') == '../CONTRIBUTING.html' and link('#here') == '#here'
    assert link('../../results/people') == '../results/README.html' and link('https://a.org/b.ipynb') == 'https://a.org/b.ipynb'
    assert where(Path('index.html'), 'LICENSE') == 'LICENSE'


def test_all_words_can_be_searched(docs):
    pages = json.loads((docs/'search.js').read_text().splitlines()[0].removeprefix('const PAGES = '))
    assert len(pages) == len([*docs.rglob('*.html')])
    found = [at for title, at, text in pages if 'transfer learning' in text.lower()]
    assert '01_training.html' in found and not [text for *_, text in pages if '<img' in text]


@pytest.mark.skipif(not CHROMIUM, reason='chromium is missing: apt-get install chromium')
def test_the_search_leads_to_a_page_without_a_server(docs):
    drivers = pytest.importorskip('playwright.sync_api', reason='playwright is missing: pip install playwright')
    with drivers.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=['--no-sandbox'])
        page = browser.new_page()
        page.goto((docs/'core'/'00_signs.html').as_uri())
        page.fill('#search', 'transfer learning')
        page.click('#found a:has-text("Training") >> nth=0')
        page.wait_for_url('**/01_training.html')
        page.fill('#search', 'xyzzyx')
        assert page.inner_text('#found') == 'Nothing found.'
        browser.close()
