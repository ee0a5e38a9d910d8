"""A folder on disk -> a Corpus table."""

from thymos.corpora.opening import open_corpus as open_corpus
from thymos.corpora.table import Clip as Clip
from thymos.corpora.table import Corpus as Corpus
from thymos.corpora.table import Exclusion as Exclusion
from thymos.corpora.table import Sound as Sound
