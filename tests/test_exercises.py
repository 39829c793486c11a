"Lessons end with five exercises and a recap, and answers that are code run after the lesson's own code"
import re
import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from pathlib import Path
from lessons import LessonError, Progress, lessons_in, run_notebook

LESSONS = lessons_in(Path(__file__).resolve().parent.parent/'nbs')
ANSWER = re.compile(r'<details><summary>Answer</summary>\n\n(.+)\n\n</details>', re.DOTALL)
CODE = re.compile(r'^```python\n(.*?)^```$', re.DOTALL | re.MULTILINE)
lessons = pytest.mark.parametrize('path', LESSONS, ids=lambda path: path.stem)


def ending(cells):
    "The cells of the exercises, and the text of the recap"
    at = {name: [i for i, cell in enumerate(cells) if cell.source.startswith(f'## {name}')]
          for name in ('Exercises', 'Recap')}
    assert [*map(len, at.values())] == [1, 1], 'one cell begins with "## Exercises", and one with "## Recap"'
    (first,), (last,) = at.values()
    return cells[first + 1:last], '\n'.join(cell.source for cell in cells[last:])


def answers(cells):
    "The code in the answers, a text for each block"
    return [code for cell in ending(cells)[0] for code in CODE.findall(ANSWER.search(cell.source)[1])]


def run_answers(cells, path):
    "Run a lesson's code and then that of its answers, as one notebook"
    code = [cell for cell in cells if cell.cell_type == 'code' and cell.get('id') != 'install']
    named = new_markdown_cell('## Answers')
    whole = new_notebook(cells=[*code, named, *map(new_code_cell, answers(cells))])
    nbformat.write(whole, path)
    with Progress(len(whole.cells)) as progress: run_notebook(path, progress, path.parent)


@lessons
def test_a_lesson_ends_with_five_exercises_and_a_recap(path):
    exercises, recap = ending(nbformat.read(path, 4).cells)
    assert [cell.source[:2] for cell in exercises] == ['1.', '2.', '3.', '4.', '5.']
    for cell in exercises:
        assert cell.cell_type == 'markdown' and cell.source.rstrip().endswith('</details>')
        assert len(ANSWER.findall(cell.source)) == cell.source.count('<details>') == 1
        assert '```' not in CODE.sub('', cell.source), 'code in an answer stands between ```python and ```'
    assert len(re.findall(r'^- ', recap, re.MULTILINE)) == 5


@lessons
def test_the_last_line_of_a_lesson_leads_to_the_next(path):
    if path == LESSONS[-1]: return
    last = ending(nbformat.read(path, 4).cells)[1].rstrip().splitlines()[-1]
    assert f']({LESSONS[LESSONS.index(path) + 1].name})' in last


@lessons
def test_answers_run_after_the_lesson(path, tmp_path, monkeypatch):
    # A lesson and its answers run here and, from the wheel, in test_run.py; nowhere else. Small pictures are enough.
    own = dict(IN_TEST='1', ASL_SIGNS_OUT=str(tmp_path/'out'), ASL_SIGNS_SIZE='64')
    for name, value in own.items(): monkeypatch.setenv(name, value)
    run_answers(nbformat.read(path, 4).cells, tmp_path/path.name)


@pytest.mark.parametrize('code, runs', [('assert cups == 2', True), ('assert cups == 3', False)])
def test_an_answer_that_fails_is_noticed(code, runs, tmp_path):
    answer = f'1. How many?\n\n<details><summary>Answer</summary>\n\nTwo.\n\n```python\n{code}\n```\n\n</details>'
    cells = [new_code_cell('cups = 2'), *map(new_markdown_cell, ('## Exercises', answer, '## Recap'))]
    assert answers(cells) == [f'{code}\n']
    if runs: run_answers(cells, tmp_path/'tea.ipynb')
    else:
        with pytest.raises(LessonError, match='section "Answers": AssertionError'):
            run_answers(cells, tmp_path/'tea.ipynb')
