// All that the page says, in English and Greek, and how emotions are shown.

const ENGLISH = {
  skip: "To the content", motto: "hears how something is said", language: "Language", theme: "Light or dark",
  about: "About the model", noticeTitle: "You are using an emotion recognition system",
  notice: "An AI estimates which emotion a voice expresses. It does not know what anybody feels, and it is often wrong. Let people know before their voice is heard by it.",
  lawOpen: "What the law asks (EU AI Act)", lawTitle: "What the EU AI Act asks",
  law50: "Article 50(3): who uses an emotion recognition system tells the people who are exposed to it that it is at work, clearly and no later than when it first hears them, and handles their data as the GDPR asks.",
  law5: "Article 5(1)(f): inferring emotions of people at their workplace or in education is prohibited, except for medical or safety reasons.",
  law6: "Other uses may count as high-risk (Annex III, 1(c)). This page is no legal advice.",
  privacy: "Recordings go to the server that showed this page and to nobody else. It keeps none: what is sent is forgotten once it is answered.",
  close: "Close", inputsTitle: "Sound", drop: "Drop recordings or a folder here", files: "Choose files",
  folder: "Choose a folder", record: "Record", stopRecording: "Stop recording", listen: "Listen live",
  stopListening: "Stop listening", options: "Options", model: "Model", labels: "Tell these apart",
  channels: "Channels", channelsMix: "as one", channelsSplit: "each by itself, side by side",
  channelsSpeakers: "as one, with two voices told apart (experimental)", channelN: (n) => `channel ${n}`, voiceN: (n) => `voice ${n}`,
  ofTheTime: (n) => `${n} % of the time`, then: (others) => `then ${others}`, mayBe: (others) => `may also be ${others}`, vad: "Speech begins at a probability of", shortest: "Shortest stretch, in seconds", arousal: "arousal", valence: "valence", dominance: "dominance", liveTitle: "Live", level: "Level", results: "Recordings", clear: "Clear",
  columnFile: "Recording", columnEmotion: "Emotion", columnProbability: "Probability", columnSet: "May also be",
  columnSpeech: "Speech", columnFlags: "Remarks", stretches: "From when to when",
  unplayable: "This browser cannot play this format; what was heard is shown all the same.",
  explain: "Why? Show what carried the decision", tokenTitle: "This server asks for a token", token: "Token", send: "Send",
  noneHeard: "none heard", recording: "recording", hearing: (n, all) => `Hearing ${n} of ${all} …`,
  heard: (n, bad) => `${n} heard` + (bad ? `, ${bad} could not be` : ""), listening: "Listening …",
  noMicrophone: "The microphone cannot be used: ", connectionLost: "The connection to the server was lost.",
  microphoneLost: "The microphone is gone; what it heard until then is kept.",
  insecure: "The microphone cannot be used: browsers give it only to pages that come by https, or from this machine.",
  tokenWrong: "The server takes another one.",
  twoLabels: "At least two are needed.", folderEmpty: "No recordings are in there.",
  waveformOf: (name) => `Waveform of ${name}, coloured by emotion; the list below says the same`,
  curveOf: (name) => `Probability of each emotion over time in ${name}`,
  explanationOf: (said) => `Regions of time and frequency that carried the decision: ${said}`,
  liveCurve: "Probability of each emotion over the last half minute",
  carried: (e) => `Without the marked regions, ${e.emotion} would fall from ${e.before} to ${e.after}.`,
  noRegion: "No single region carried the decision.", seconds: (s) => `${s} s`,
  cardLabels: "tells apart", cardLicence: "licence", cardTrained: "trained on", cardScores: "measured",
  cardSets: "sets", cardCoverage: (c) => `“May also be” holds the true emotion in ${Math.round(100 * c)} % of recordings like those it was set on`,
  cardNot: "not for", cardNotText: "Decisions about people. Acted and read speech is most of what it was trained on; languages, accents, ages and illnesses that it never heard are judged worse, and it cannot tell you so in every case.",
  cardFiles: "SHA-256", clips: (n) => `${n} recordings`,
  flags: { too_short: "too little speech", too_quiet: "too quiet", no_speech: "nobody speaks", faint_speech: "perhaps nobody speaks", cut_short: "the file ends too soon", damaged: "parts are damaged", rescaled: "rescaled", offset: "offset taken off", clipped: "clipped", inverted_channel: "a channel was inverted", silent_channel: "a channel is silent", mixed_channels: "channels that differ were mixed", unsure: "hardly sure", unfamiliar: "unlike what the model was trained on" },
  emotions: {},
};

const GREEK = {
  skip: "Στο περιεχόμενο", motto: "ακούει πώς λέγεται κάτι", language: "Γλώσσα", theme: "Φωτεινό ή σκούρο",
  about: "Για το μοντέλο", noticeTitle: "Χρησιμοποιείτε σύστημα αναγνώρισης συναισθημάτων",
  notice: "Μια τεχνητή νοημοσύνη εκτιμά ποιο συναίσθημα εκφράζει μια φωνή. Δεν γνωρίζει τι αισθάνεται κανείς και συχνά κάνει λάθος. Ενημερώστε τους ανθρώπους πριν ακουστεί η φωνή τους.",
  lawOpen: "Τι ζητά ο νόμος (Κανονισμός ΕΕ για την ΤΝ)", lawTitle: "Τι ζητά ο Κανονισμός της ΕΕ για την τεχνητή νοημοσύνη",
  law50: "Άρθρο 50(3): όποιος χρησιμοποιεί σύστημα αναγνώρισης συναισθημάτων ενημερώνει τα πρόσωπα που εκτίθενται σε αυτό, με σαφήνεια και το αργότερο όταν τα ακούσει για πρώτη φορά, και επεξεργάζεται τα δεδομένα τους όπως ζητά ο ΓΚΠΔ.",
  law5: "Άρθρο 5(1)(στ): απαγορεύεται η συναγωγή συναισθημάτων στον χώρο εργασίας και στην εκπαίδευση, εκτός από ιατρικούς λόγους ή λόγους ασφάλειας.",
  law6: "Άλλες χρήσεις μπορεί να θεωρούνται υψηλού κινδύνου (Παράρτημα III, 1(γ)). Η σελίδα δεν είναι νομική συμβουλή.",
  privacy: "Οι ηχογραφήσεις στέλνονται στον διακομιστή αυτής της σελίδας και σε κανέναν άλλον. Δεν κρατά καμία: ό,τι στέλνεται ξεχνιέται μόλις απαντηθεί.",
  close: "Κλείσιμο", inputsTitle: "Ήχος", drop: "Αφήστε εδώ ηχογραφήσεις ή έναν φάκελο", files: "Επιλογή αρχείων",
  folder: "Επιλογή φακέλου", record: "Ηχογράφηση", stopRecording: "Τέλος ηχογράφησης", listen: "Ζωντανή ακρόαση",
  stopListening: "Τέλος ακρόασης", options: "Επιλογές", model: "Μοντέλο", labels: "Να διακρίνονται",
  channels: "Κανάλια", channelsMix: "σαν ένα", channelsSplit: "καθένα χωριστά, δίπλα δίπλα",
  channelsSpeakers: "σαν ένα, με δύο φωνές χωριστά (πειραματικό)", channelN: (n) => `κανάλι ${n}`, voiceN: (n) => `φωνή ${n}`,
  ofTheTime: (n) => `${n} % του χρόνου`, then: (others) => `έπειτα ${others}`, mayBe: (others) => `ίσως και ${others}`, vad: "Η ομιλία αρχίζει από πιθανότητα", shortest: "Συντομότερο τμήμα, σε δευτερόλεπτα", arousal: "διέγερση", valence: "σθένος", dominance: "κυριαρχία", liveTitle: "Ζωντανά", level: "Στάθμη", results: "Ηχογραφήσεις", clear: "Καθαρισμός",
  columnFile: "Ηχογράφηση", columnEmotion: "Συναίσθημα", columnProbability: "Πιθανότητα", columnSet: "Ίσως και",
  columnSpeech: "Ομιλία", columnFlags: "Παρατηρήσεις", stretches: "Από πότε ως πότε",
  unplayable: "Ο περιηγητής δεν παίζει αυτή τη μορφή· ό,τι ακούστηκε φαίνεται πάντως.",
  explain: "Γιατί; Τι έκρινε την απόφαση", tokenTitle: "Ο διακομιστής ζητά κωδικό", token: "Κωδικός", send: "Αποστολή",
  noneHeard: "κανένα", recording: "ηχογράφηση", hearing: (n, all) => `Ακρόαση ${n} από ${all} …`,
  heard: (n, bad) => `Ακούστηκαν ${n}` + (bad ? `, δεν ακούστηκαν ${bad}` : ""), listening: "Ακρόαση …",
  noMicrophone: "Το μικρόφωνο δεν είναι διαθέσιμο: ", connectionLost: "Χάθηκε η σύνδεση με τον διακομιστή.",
  microphoneLost: "Το μικρόφωνο χάθηκε· ό,τι άκουσε ως τότε κρατήθηκε.",
  insecure: "Το μικρόφωνο δεν είναι διαθέσιμο: οι περιηγητές το δίνουν μόνο σε σελίδες που έρχονται με https ή από αυτόν τον υπολογιστή.",
  tokenWrong: "Ο διακομιστής δέχεται άλλον.",
  twoLabels: "Χρειάζονται τουλάχιστον δύο.", folderEmpty: "Δεν υπάρχουν ηχογραφήσεις εκεί.",
  waveformOf: (name) => `Κυματομορφή: ${name}, χρωματισμένη ανά συναίσθημα· η λίστα παρακάτω λέει τα ίδια`,
  curveOf: (name) => `Πιθανότητα κάθε συναισθήματος στον χρόνο: ${name}`,
  explanationOf: (said) => `Περιοχές χρόνου και συχνότητας που έκριναν την απόφαση: ${said}`,
  liveCurve: "Πιθανότητα κάθε συναισθήματος στο τελευταίο μισό λεπτό",
  carried: (e) => `Χωρίς τις σημειωμένες περιοχές, το συναίσθημα «${e.emotion}» θα έπεφτε από ${e.before} σε ${e.after}.`,
  noRegion: "Καμία περιοχή μόνη της δεν έκρινε την απόφαση.", seconds: (s) => `${s} δ`,
  cardLabels: "διακρίνει", cardLicence: "άδεια", cardTrained: "εκπαιδεύτηκε σε", cardScores: "μετρήθηκε",
  cardSets: "σύνολα", cardCoverage: (c) => `Το «ίσως και» περιέχει το αληθινό συναίσθημα στο ${Math.round(100 * c)} % ηχογραφήσεων σαν εκείνες στις οποίες ρυθμίστηκε`,
  cardNot: "όχι για", cardNotText: "Αποφάσεις για ανθρώπους. Εκπαιδεύτηκε κυρίως σε υποδυόμενο και αναγνωσμένο λόγο· γλώσσες, προφορές, ηλικίες και παθήσεις που δεν άκουσε τις κρίνει χειρότερα, και δεν το καταλαβαίνει πάντα.",
  cardFiles: "SHA-256", clips: (n) => `${n} ηχογραφήσεις`,
  flags: { too_short: "πολύ λίγη ομιλία", too_quiet: "πολύ χαμηλά", no_speech: "κανείς δεν μιλά", faint_speech: "ίσως δεν μιλά κανείς", cut_short: "το αρχείο τελειώνει πρόωρα", damaged: "έχει φθαρμένα μέρη", rescaled: "άλλαξε η κλίμακα", offset: "αφαιρέθηκε σταθερή μετατόπιση", clipped: "ψαλιδισμένος ήχος", inverted_channel: "ένα κανάλι ήταν ανεστραμμένο", silent_channel: "ένα κανάλι είναι σιωπηλό", mixed_channels: "ανόμοια κανάλια ακούστηκαν σαν ένα", unsure: "σχεδόν στην τύχη", unfamiliar: "διαφέρει από όσα έμαθε το μοντέλο" },
  emotions: { anger: "θυμός", disgust: "αηδία", fear: "φόβος", happiness: "χαρά", sadness: "λύπη", neutral: "ουδέτερο", surprise: "έκπληξη", calm: "ηρεμία", boredom: "ανία", contempt: "περιφρόνηση" },
};

export const LANGUAGES = { en: ENGLISH, el: GREEK };

// Okabe and Ito's colours, which the colour-blind tell apart; and a dash each, for lines.
const LOOKS = {
  anger: ["#d55e00", []], disgust: ["#009e73", [6, 3]], fear: ["#cc79a7", [2, 2]], happiness: ["#e8d21d", []],
  sadness: ["#0072b2", []], neutral: ["#8c8c8c", [8, 3, 2, 3]], surprise: ["#56b4e9", [4, 2]],
};
const OTHERS = [["#e69f00", [10, 2]], ["#7f5af0", [3, 5]], ["#5b8c00", [1, 3]], ["#a05195", [12, 4]], ["#3d5a80", [5, 1, 1, 1]]];

let current = ENGLISH;
let code = "en";

export function setLanguage(name) {
  code = name in LANGUAGES ? name : "en";
  current = LANGUAGES[code];
  document.documentElement.lang = code;
  for (const element of document.querySelectorAll("[data-text]")) element.textContent = current[element.dataset.text] ?? ENGLISH[element.dataset.text];
}

export const language = () => code;
export const word = (key, ...values) => { const said = current[key] ?? ENGLISH[key]; return typeof said === "function" ? said(...values) : said; };
export const reasonOf = (error) => error.message || word("connectionLost");
export const emotionWord = (emotion) => emotion === null ? word("noneHeard") : current.emotions[emotion] ?? emotion;
export const partWord = (row) => [row.channel && word("channelN", row.channel), row.speaker && word("voiceN", row.speaker)].filter(Boolean).join(", ");

const LEAST_SHARE = 0.01;

// What is said of a recording: its emotion, how sure that is, and what else it may be. Of minutes, as the command line has it:
// the emotion with most of the time, and those that follow.
export function answerOf({ emotion, probabilities, prediction_set: set, long, shares }) {
  if (emotion === null) return { emotion, sure: "", others: "" };
  const percent = (share) => Math.round(100 * share), parts = long ? Object.entries(shares ?? {}) : [];
  if (!parts.length) return { emotion, sure: probabilities[emotion].toFixed(2), others: set.slice(1).map(emotionWord).join(", ") };
  const [[most, share], ...rest] = parts, also = rest.filter(([, own]) => own >= LEAST_SHARE).map(([label, own]) => `${emotionWord(label)} ${percent(own)}\u00a0%`);
  return { emotion: most, sure: word("ofTheTime", percent(share)), others: also.length ? word("then", also.join(", ")) : "" };
}

export const flagWord = (flag) => current.flags[flag] ?? ENGLISH.flags[flag] ?? flag.replaceAll("_", " ");

export function look(emotion, labels) {
  if (emotion === null) return { colour: "transparent", dash: [] };
  const [colour, dash] = LOOKS[emotion] ?? OTHERS[Math.max(0, labels.filter((label) => !(label in LOOKS)).indexOf(emotion)) % OTHERS.length];
  return { colour, dash };
}
