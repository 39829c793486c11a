"What pyproject.toml calls dynamic: the version, the requirements and the authors, read from settings.ini"
from configparser import ConfigParser
from pathlib import Path
from setuptools import setup

config = ConfigParser()
config.read(Path(__file__).parent/'settings.ini', encoding='utf-8')
settings = config['DEFAULT']
extras = {key.removesuffix('_requirements'): value.split()
          for key, value in settings.items() if key.endswith('_requirements')}

setup(version=settings['version'], author=settings['author'],
      python_requires=f">={settings['min_python']}", install_requires=settings['requirements'].split(),
      extras_require=extras)
