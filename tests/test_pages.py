"What a reader sees of a notebook: pages, README, figures and buttons"
import re
from pathlib import Path
import pytest
from nbconvert import MarkdownExporter
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
import nbformat
from report import lessons_in
from stamps import STAMPED
from pages import convert, figures, page, slug, summary_of, title_of, to_pages, write_readme

NBS = Path(__file__).resolve().parent.parent/'nbs'
DOT = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=='
LEAVES = [new_markdown_cell('## Tea leaves'),
          new_code_cell('plot()', outputs=[new_output('display_data', {'image/png': DOT})])]


@pytest.fixture
def tea():
    "A notebook with one cell of each kind"
    value = new_output('execute_result', {'text/plain': "'tea'"})
    return new_notebook(cells=[
        new_markdown_cell('# Tea\n\n> How to make it\n\nFirst, [milk](01_milk.ipynb).'),
        new_code_cell('#| default_exp tea'),
        new_code_cell('#| hide\nsecret = 1'),
        new_code_cell('#| export\ndef brew(): return "tea"'),
        new_code_cell('#| echo: false\nbrew()', outputs=[value])])


def test_what_is_not_for_readers_is_left_out(tea):
    text, _ = convert(tea, MarkdownExporter, lambda address: address.replace('.ipynb', '.html'))
    assert 'secret' not in text and '#|' not in text and '\nbrew()' not in text
    assert 'def brew' in text and "'tea'" in text and '(01_milk.html)' in text


def test_a_page_leads_to_pages_and_needs_no_network(tea):
    html = page(tea, NBS, [('Report', 'index.html'), ('Tea', '00_tea.html')])
    assert (title_of(tea), summary_of(tea)) == ('Tea', 'How to make it')
    assert 'href="01_milk.html"' in html and 'secret' not in html and 'https://' not in html


def test_figures_are_named_after_their_section():
    found = figures(new_notebook(cells=LEAVES), '00_tea')
    assert {name: caption for name, (_, caption) in found.items()} == {'00_tea-1-tea-leaves.png': 'Tea leaves'}


def test_a_figure_says_what_its_cell_says_of_it(tea):
    plot = new_code_cell('#| fig-alt: A cup & a spoon\nplot()', outputs=LEAVES[1].outputs)
    tea.cells += [LEAVES[0], plot]
    assert [caption for _, caption in figures(tea, '00_tea').values()] == ['A cup & a spoon']
    assert 'alt="A cup &amp; a spoon"' in page(tea, NBS)


@pytest.mark.parametrize('heading, address', [
    ('Tea leaves', 'tea-leaves'), ('What if…?', 'what-if'),
    ('`make run` with <em>milk</em> &amp; co', 'make-run-with-milk--co')])
def test_sections_have_the_addresses_that_github_gives_them(heading, address): assert slug(heading) == address


@pytest.mark.parametrize('link, leads', [
    ('01_milk.ipynb', '01_milk.html'), ('01_milk.ipynb#How-much?', '01_milk.html#how-much'),
    ('#How-much?', '#how-much'), ('https://a.org/b.ipynb#C', 'https://a.org/b.ipynb#C')])
def test_links_to_notebooks_lead_to_pages(link, leads): assert to_pages(link) == leads


def test_a_section_is_where_a_link_to_it_leads(tea):
    tea.cells.append(new_markdown_cell('## How much?\n\nSee [above](#How-much?).'))
    html = page(tea, NBS)
    assert '<h2 id="how-much">How much?</h2>' in html and 'href="#how-much"' in html


def test_the_readme_lies_above_the_notebooks(tmp_path):
    text = ('# Tea\n\n> About\n\n[Milk](01_milk.ipynb), [sugar](https://sugar.org), '
            '[more](../CONTRIBUTING.md), [up](#tea)')
    (nbs := tmp_path/'nbs').mkdir()
    nbformat.write(new_notebook(cells=[new_markdown_cell(text), *LEAVES]), nbs/'index.ipynb')
    write_readme(nbs)
    made, images = (tmp_path/'README.md').read_text(), [file.name for file in (nbs/'images').iterdir()]
    for link in ('nbs/01_milk.ipynb', 'https://sugar.org', 'CONTRIBUTING.md', '#tea'): assert f'({link})' in made
    assert [f'![Tea leaves](nbs/images/{image})' in made for image in images] == [True]


HIDDEN = re.compile(r'^#\| *hide\b', re.MULTILINE)


def lines_of_code(nb):
    "How many lines of code a reader of a lesson's main line meets, without directives and empty lines"
    cells = [cell.source for cell in nb.cells if cell.cell_type == 'code' and cell.get('id') not in STAMPED]
    shown = [line.strip() for source in cells if not HIDDEN.search(source) for line in source.splitlines()]
    return sum(bool(line) and not line.startswith('#|') for line in shown)


@pytest.mark.parametrize('path', lessons_in(NBS), ids=lambda path: path.stem)
def test_lessons_have_few_lines_of_code(path): assert 60 <= lines_of_code(nbformat.read(path, 4)) <= 90


def test_only_code_that_a_reader_meets_is_counted(tea): assert lines_of_code(tea) == 2
