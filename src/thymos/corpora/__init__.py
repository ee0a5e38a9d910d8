"""A folder, a table or a database on disk -> a Corpus; and protocols that divide it into folds."""

from thymos.corpora.folds import Fold as Fold
from thymos.corpora.given_sides import CorpusPairs as CorpusPairs
from thymos.corpora.given_sides import LeaveOneCorpusOut as LeaveOneCorpusOut
from thymos.corpora.given_sides import OwnSplit as OwnSplit
from thymos.corpora.given_sides import Serab as Serab
from thymos.corpora.opening import open_corpus as open_corpus
from thymos.corpora.protocols import FoldsFromFile as FoldsFromFile
from thymos.corpora.protocols import LeaveOneSpeakerOut as LeaveOneSpeakerOut
from thymos.corpora.protocols import Protocol as Protocol
from thymos.corpora.protocols import RecordingFolds as RecordingFolds
from thymos.corpora.protocols import SentenceFolds as SentenceFolds
from thymos.corpora.protocols import Split as Split
from thymos.corpora.protocols import TakeFolds as TakeFolds
from thymos.corpora.protocols import protocol_named as protocol_named
from thymos.corpora.table import Clip as Clip
from thymos.corpora.table import Corpus as Corpus
from thymos.corpora.table import Exclusion as Exclusion
from thymos.corpora.table import Measurements as Measurements
