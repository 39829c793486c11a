"""What is in the real archives, and how long looking takes: python bench/measure/audit.py FOLDER

FOLDER holds a folder for each archive. The one named test-dev has pictures of the original size; speed is measured
with it. The numbers go to results/audit/archives.json."""
import json, time, tracemalloc
from datetime import date
from pathlib import Path
from asl_signs.datasets.audit import check_data, inspect_all
from asl_signs.datasets.archives import all_pictures
from measuring import RESULTS, parser


def about(folder):
    "The table and the sentences, without the names of this machine's folders"
    audit = check_data(folder)
    unpacked = audit.rows.file[0].parents[1 if audit.rows['set'][0] == 'second_test' else 3]
    return dict(summary=audit.summary.rename_axis('set').reset_index().to_dict('records'),
                findings=[sentence.replace(f'{unpacked}/', '') for sentence in audit.findings])


def scaled(files, to=87_000):
    "Seconds and megabytes for that many pictures, from a median of five passes over these"
    seconds = []
    for _ in range(5):
        start = time.time()
        inspect_all(files)
        seconds.append(time.time() - start)
    tracemalloc.start()
    rows = inspect_all(files)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop() # it slows everything, and a fork may wait for its lock for ever
    return sorted(seconds)[2]/len(rows)*to, peak/1e6/len(rows)*to


def main(argv=None):
    "Look into each archive, and write down what is there"
    args = parser(__doc__)
    args.add_argument('folder', type=Path)
    place = args.parse_args(argv).folder
    folders = [folder for folder in sorted(place.iterdir()) if folder.is_dir()]
    seconds, megabytes = scaled(all_pictures(place/'test-dev'))
    found = dict(command='python bench/measure/audit.py FOLDER', date=f'{date.today()}', machine='2 processor cores',
                 seconds_for_87000=round(seconds), megabytes_for_87000=round(megabytes),
                 archives={folder.name: about(folder) for folder in folders})
    (RESULTS/'audit'/'archives.json').write_text(json.dumps(found, indent=1) + '\n')


if __name__ == '__main__': main()
