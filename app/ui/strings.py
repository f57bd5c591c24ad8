"""What the page says, in one place. Titles and labels are short; an empty state says what to do next."""

APP = "CDCDA"

# Header
CLOUD, MODEL, ADAPTER, NOW = "Cloud", "Model", "Adapter", "Now"
THIS_COMPUTER = "This computer"
CLOUD_LOCAL = "The augmentation service runs on this computer; nothing leaves it."
CLOUD_NAMED = "Records that you approve are sent to this address, and nothing else is."
CLOUD_KEEPS = "It says that it passes them on to no other."
CLOUD_ONWARD = "It says that it passes them on to {host}."
CLOUD_NOT_ASKED = "Whether it passes them on is not known; it is asked when you preview what leaves."
NO_ADAPTER = "None"
STARTING = "starting"
IDLE = "Nothing is running"
JOB_TITLES = {"augment": "Augmenting", "train": "Training", "curve": "Measuring"}

# Tabs
HISTORY, SHARE, REVIEW, PERSONALISE, WRITE, INSIGHTS, SETTINGS = (
    "History", "Share", "Review", "Personalise", "Write", "Insights", "Settings",
)  # fmt: skip
TAB_TITLES = {
    "history": HISTORY,
    "share": SHARE,
    "review": REVIEW,
    "personalise": PERSONALISE,
    "write": WRITE,
    "insights": INSIGHTS,
    "settings": SETTINGS,
}
GO_TO = "Go to {}"

# History
HISTORY_LEAD = "## Your history\nWhat you wrote before, one record a line: what it was about, and what you made of it."
IMPORT_FILE = "CSV, TSV, JSON, JSONL, a LaMP questions file, or notes (.md or .txt, one or several)"
OTHER_WAYS = "Paste text, or choose a person of a LaMP file"
PASTE, PASTE_HINT = "Pasted text", "A table with a header line; or notes, a title in the first line, --- between them"
PERSON, PERSON_INFO = "Person", "Only for a LaMP file that holds several: their user_id or number"
LOOK = "Look at it"
UNDO_CHANGE = "Undo"
NOTHING_TO_TAKE_BACK = "There is nothing left to undo."
GONE_ALREADY = "These records are gone already."
NO_TRACE = " without a trace"
TRAINING_BEGAN = "Training again without them; Personalise shows how far it is."
RECORD_FILTERS = (
    ("All records", ""),
    ("Shared", "shared"),
    ("Kept at home", "kept"),
    ("Something personal found", "sensitive"),
)
OWN_TASKS = "Tasks of your own"
OWN_TASKS_LEAD = "A task is a prompt, with {input} where a record's input goes, and what kind of answer it asks for."
TASK_NAME, TASK_TITLE, TASK_TEMPLATE = "Name (a-z, 0-9, -)", "Title", "Prompt"
TASK_ANSWER, TASK_LABELS, TASK_METRIC = "Answer", "Labels, with commas between them", "Judged by"
ANSWERS = (("Free text", "text"), ("One of several labels", "label"), ("A rating", "rating"))
METRICS = (("What fits the answer", ""), ("ROUGE", "rouge"), ("Accuracy", "accuracy"), ("Mean error", "mae"))
MAKE_TASK, DELETE_TASK = "Save the task", "Delete the task"
TASK_MADE = "The task {name} can be chosen now."
IMPORT_BUTTON = "Import"
STOP_IMPORT = "Stop the import"
IMPORTING = "Importing"
IMPORT_STOPPED = "The import was stopped; nothing of it is in your history."
TIME_LEFT = ", about {time} left"
SAMPLE_BUTTON = "Try it with a sample"
SAMPLE_SOURCE = "the sample history"
TASK, INPUT_COLUMN, OUTPUT_COLUMN, DATE_COLUMN = "Task", "Input column", "Output column", "Date column"
NO_COLUMN = "(none)"
ANY_TASK = "All tasks"
SEARCH = "Search"
SEARCH_HINT = "Words in your records"
ORDER = "Order"
ORDERS = (("Newest first", "newest"), ("Oldest first", "oldest"), ("As imported", "imported"))
NO_RECORDS = (
    "No records yet",
    "Import a file of what you wrote, or press “Try it with a sample” to look around first.",
)
THE_WAY = (
    (HISTORY, "Bring in what you wrote before: a file, pasted text, or the sample."),
    (SHARE, "Tick what a larger model may see. Nothing leaves before you approved the very bytes."),
    (REVIEW, "It writes similar examples. Filters judge them, and you have the last word."),
    (PERSONALISE, "A small adapter learns from yours and theirs, on this computer, in minutes."),
    (WRITE, "See the same model answer without and with it, side by side."),
)
"""The five steps and what each is for, as an empty history tells them."""
NOTHING_FOUND = ("Nothing matches", "Try fewer words, or another task.")

# Share
SHARE_LEAD = (
    "## Choose what to share\nOnly ticked records are sent to the service, which writes new examples in their manner."
    " Nothing is sent before you have seen it and approved it. A record with something personal in it is left out of"
    " every proposal, and ticking it asks you first."
)
SHARE_FILTERS = (
    ("All records", ""),
    ("Ticked", "shared"),
    ("Not ticked", "kept"),
    ("Something personal found", "sensitive"),
)
RATIO = "Share ratio"
STRATEGY = "Which records first"
STRATEGIES = (
    ("Random", "random"),
    ("Representative", "representative"),
    ("Newest", "newest"),
    ("Least telling first", "careful"),
)
PROPOSE, SHARE_NONE = "Propose", "Share none"
PAIRS_EACH = "New pairs for each record"
PREVIEW_PAYLOAD = "Preview what leaves"
APPROVE = "Approve and augment"
SERVICE_LOADS = "Starting; the service loads its model."
FIRST_PAIRS = "The service writes and scores the first pairs."
ARRIVED = "{pairs} so far, {kept} kept by the filters."
STOP, RESUME = "Stop", "Resume"
KEEP = "Stop and keep"
HALVED = " Memory ran short: at most {tokens} tokens at once since."
KEEPING = "ending with what it has learned"
ENDED_EARLY = "ended by you after step {steps} of {planned_steps}"
MOST_SHARED = "The one shared most"
NO_SHARE_YET = ("Nothing to share yet", "Records appear here once your History has some.")
WEAK_TITLE = "The service on this computer uses the small built-in model"
WEAK_TEXT = (
    "Its new pairs are weak: many will be rejected. {title} ({size}, {licence}) follows instructions better and also"
    " runs on this computer. Fetch it in Settings, then start the app again."
)
WEAK_UNTIL_RESTART = (
    "Its new pairs are weak: many will be rejected. {title} is on this computer too; start the app again, and the"
    " service uses it."
)

# Review
REVIEW_LEAD = (
    "## Look at what came back\nThree filters and a safety check judge each new pair. Your own word outranks them:"
    " accept, edit or reject."
)
SHOW = "Show"
SHOWS = (("All", "all"), ("Kept", "kept"), ("Rejected", "rejected"), ("Undecided", "undecided"))
UNDO = "Undo"
ACCEPT_SHOWN, REJECT_SHOWN = "Accept shown", "Reject shown"
BY_SCORE, SCORE, DIRECTION, BOUND = "Decide by score", "Score", "Which", "Bound"
SCORE_CHOICES = {"entailment": "Meaning kept", "rouge_l": "Wording shared", "length_ratio": "Length ratio"}
HAVE_SUCH_A_SCORE = "{found} of the {items} shown"
ACCEPT_COUNT, REJECT_COUNT = "Accept {count}", "Reject {count}"
DECIDED_TOGETHER = "{pairs} {kind} in one step; Undo takes it back."
MEANING, WORDING, LENGTH = "Meaning kept", "Wording shared", "Length ratio"
AT_LEAST, AT_MOST, PASSED = "at least", "at most", "{passed} of {pairs} pass"
ENTAILMENT, ROUGE, SHORTEST, LONGEST = (
    "Meaning stays at least", "Wording overlaps at most", "Length at least", "Length at most",
)  # fmt: skip
FEW_KEPT = "A stronger augmenter, from Settings, Models, would have more of them kept; accept by hand what you like."
NONE_CAME = "Share more records, ask for more pairs for each, or choose a stronger augmenter in Settings, Models."
JUDGING = "Judging your pairs…"
NO_PAIRS = (
    "No pairs yet",
    "Go to Share, tick some records, preview what leaves, and approve it; where none came back, Share says why.",
)
NO_SUCH_PAIRS = ("No pair here", "No pair matches this filter; choose another one under “Show”.")
YOUR_EDIT, SYNTHETIC = "Yours, edited", "Synthetic"
FILTER_NAMES = {"consistency": "meaning", "diversity": "wording", "length": "length", "safety": "safety"}

# Personalise
PERSONALISE_LEAD = (
    "## Teach the model your way of writing\nA small adapter is trained on your records and the kept pairs. The newest"
    " records are held out, to see whether it really got better."
)
TRAIN, EPOCHS, RANK, ALPHA, SEED = "Train", "Epochs", "Rank", "Alpha", "Seed"
PRESET = "How thoroughly"
TRAIN_SETTINGS = "Settings of the training"
MICRO_TOKENS = "Tokens at once"
MICRO_TOKENS_INFO = "Fewer take less memory; the result is the same"
PROBE = "Measure the time"
BEING_MEASURED = "The time is being measured: the model is loaded and takes a few steps."
PROBED = "Those steps took {peak:,.0f} MB at most."
WHAT_TAKES_MEMORY = "What takes the memory"
MEMORY_COLUMNS = ("Part", "Memory", "What it is")
DOES_NOT_FIT = "This may run out of memory"
ROWS_SUMMARY = "The first {shown} of {rows} that will be learned"
ROWS_CUT = "Longer than what is learned at once: {rows}. The end of the input is cut."
NO_ROWS_CUT = "No row is cut."
ADAPTERS_TITLE = "### Your adapters"
MANAGE_ADAPTERS = "Name, note, export, import"
WHICH_ADAPTER, ADAPTER_NAME, ADAPTER_NOTE = "Adapter", "Name", "Note"
SAVE_ADAPTER, DELETE_ADAPTER, EXPORT_ADAPTER = "Save name and note", "Delete", "Export"
ADAPTER_FORM = "Form"
ADAPTER_FORMS = (
    ("PEFT folder; can be imported again", "peft"),
    ("GGUF adapter, for llama.cpp", "gguf"),
    ("Whole model as GGUF", "merged"),
    ("Folder for Ollama", "ollama"),
)
IMPORT_ADAPTER = "Import a PEFT folder"
FORGOTTEN = "forgotten"
LINEAGE = "{records} of your records and {pairs}; held out: {held_out}."
LINEAGE_GONE = " Forgotten since: {records}, {pairs}."
LINEAGE_UNKNOWN = "It was imported, and what it learned from was never here."
COMPARE_ADAPTERS, FIRST_ADAPTER, SECOND_ADAPTER = "Compare two of them", "One adapter", "Another adapter"
NOTHING_TO_COMPARE = ("Nothing to compare yet", "Two adapters can be compared once you have trained two.")
RUN_MADE, RUN_RECORDS, RUN_PAIRS = "Made", "Records learned", "Pairs learned"
RUN_LOSS, RUN_HELD_OUT_LOSS = "Loss at the end", "Loss on held-out records"
RUN_SCORE, RUN_VERDICT = "Score on held-out records", "Verdict"
NOT_MEASURED, NOT_SET = "not measured", "none"
SETTING_NAMES = {
    "model": "Model",
    "base": "Base",
    "task": "Task",
    "device": "Device",
    "quantisation": "Weights held as",
}
SAME_SETTINGS = "They were trained with the same settings."
UNKNOWN = "unknown"
BOTH_UNKNOWN = "Which records both learned from is not known, because one was imported."
IN_BOTH = "Both learned from {records}."
ONLY_IN = "In {name} alone: {records}"
AND_MORE = "and {count} more"
DELETE_FOR_SURE = "Delete it with its files"
ADAPTER_SAVED, ADAPTER_DELETED, ADAPTER_EXPORTED = "Saved", "Deleted", "Exported"
ADAPTER_IMPORTED = "Imported"
ADAPTER_IMPORTED_TEXT = "{name} is in the list; switch it on there."
EXPORT_WARNING = "It holds no text of yours, but who has it can make a model write like you."
NOT_READY = "Nothing to learn from yet"
NO_ADAPTERS = ("No adapter yet", "Press Train. With the built-in model and the sample it takes a few minutes.")
BETTER, WORSE = "It got better", "It did not get better"
VERDICTS = {
    "better": BETTER,
    "no different": "No different",
    "worse": "It got worse",
    "too few to tell": "Too few records to tell",
}
SCORING = "scoring on {records}, answer {done} of {answers}"
LEFT_OFF = " The adapter is kept and left off; more records, or fewer epochs, may help."
OFF_MEANWHILE = " The adapter is kept and off while another model writes; choose its model again in Settings."
SHOWN_BY_WRITE = " Write shows the difference."

# Write
WRITE_LEAD = (
    "## Write\nThe same model answers twice, side by side, without and with your adapter. Nothing that you write here"
    " leaves this computer."
)
TEXT, TEXT_HINT = "Text", "What is it about? Paste or write it here."
TASK_TEXTS = {
    "title": ("Abstract", "Paste what the paper or note says; a title is written for it."),
    "headline": ("Article", "Paste the article; a headline is written for it."),
    "paraphrase": ("Post", "Write it plainly; it is said again in your manner."),
    "tag": ("Description", "Describe the film; it gets the tag that you would give it."),
    "rating": ("Review", "Paste a review; it gets the score that you would give it, 1 to 5."),
    "citation": ("Question", "Name your paper and two references; one of them is chosen."),
}
WRITE_BUTTON, WRITE_AGAIN = "Write", "Write again"
BLIND = "Hide which is which until I vote"
LOOK_UP = "Look up my similar records"
LOOKED_UP = "{count} of your records stood in the prompt of both"
NOTHING_LOOKED_UP = "No record of this task was there to look up, or none had room in the prompt."
BEFORE, AFTER = "Before", "After"
ANSWER_A, ANSWER_B = "Answer A", "Answer B"
OPEN_VOTES = ("Before is better", "About the same", "After is better")
BLIND_VOTES = ("A is better", "About the same", "B is better")
VOTED_BLIND = "Your vote is kept; now you see which was which."
NO_ANSWERS = (
    "Two answers will stand here",
    "Choose a task, paste a text, and press Write: first the model as it came, then the same model with your adapter.",
)
NO_ADAPTER_YET = (
    "There is no adapter yet",
    "Train one first; then the same model answers here without and with it. Chat works already.",
)
NO_ADAPTER_FOR_THIS_MODEL = (
    "There is no adapter for this model yet",
    "Yours were trained on another model and are off. Train one on this model, or choose theirs again in Settings.",
)
NO_MODEL = "The model is missing"
SLOW_TITLE = "{job} is under way"
SLOW_TEXT = "Writing and chat go on as always, only slower until it is done."
CHAT_TAB, TASK_TAB = "Chat", "Tasks"
MESSAGE, MESSAGE_HINT, SEND, CLEAR = "Message", "Write a message", "Send", "New conversation"
ANSWER_AGAIN, EDIT_LAST = "Answer again", "Change my message"
NO_CHAT = ("Talk with your model", "It answers with the adapter that is on; the header says which.")
BASE_MODEL = "no adapter"
NO_ROOM = "; no room for {what}"

# Insights
INSIGHTS_LEAD = "## Insights\nWhat it all brought, measured on your own newest records, which no adapter ever saw."
SCORES_TITLE = (
    "### Did it get better?\nEach adapter on the records that were held out from it, beside the model without."
)
SYSTEMS = {"base": "Base", "retrieval": "Base with looked-up records", "personal": "Personal"}
SCORE_COLUMNS = ("Adapter", "Trained")
SCORES_SENTENCE = "{name}: {metric} {own} with the adapter, {base} without."
HIGHER, LOWER = "higher is better", "lower is better"
NO_SCORES = (
    "No adapter has been scored yet",
    "Once you train one with five records or more, its score on the newest of them stands here, beside the base's.",
)
CURVE_TITLE = (
    "### What does sharing bring?\nThree adapters learn from your own records, with the kept pairs of none, half and"
    " all of the records that you shared. How high does the curve go for what left this computer?"
)
MEASURE = "Measure"
PLAN_TITLE = "Measuring takes about {time}"
PLAN_TEXT = (
    "Scored by {metric} on {held_out}; {left} left this computer, {pairs} kept. It runs beside the rest, can be"
    " stopped, and sends nothing."
)
CANNOT_MEASURE = "There is nothing to measure yet"
NO_CURVE = ("Not measured yet", "Press Measure; each point appears as soon as it is there.")
CURVE_GROWING = "The other points appear as soon as they are measured."
CURVE_SENTENCE = "From {first:.2f} with nothing shared to {last:.2f} with {left} shared"
CURVE_OUTCOMES = {
    "helped": ": better by more than the luck of which records were held out.",
    "hurt": ": worse by more than the luck of which records were held out; keep fewer pairs.",
    "not apart": ": no more than the luck of which records were held out, so sharing less costs you little.",
    "too few to tell": ": too few records are held out to tell that from luck.",
}
CURVE_COLUMNS = ("Part shared", "Records that left", "Pairs learned", "Score (95 % interval)")
SHARE_WORDS = ("nothing shared", "half", "all that you shared")
VOTES_TITLE = "### Your votes\nBlind votes count for more: who knows which answer is theirs likes it better."
BLIND_VOTED, OPEN_VOTED = "blind votes", "open votes"
NO_VOTES = ("No votes yet", "Write something, hide which answer is which, and say which one you like better.")
SAME = "About the same"
BROUGHT_TITLE = "### What was shared, and what it brought"
NOTHING_LEFT = (
    "Nothing has left this computer",
    "What you share is listed here, with where it went and what came of it.",
)
LEFT, DRAWN = "records left this computer", "new pairs came back"
KEPT_PAIRS, USED_PAIRS = "of them are kept", "are learned by your adapter"
PLACE_COLUMNS = ("Where to", "Uploads", "Records", "Bytes", "Last")

# Settings
SETTINGS_LEAD = "## Settings"
PLACES_TITLE = "### Where things are"
CLOUD_ADDRESS, CLOUD_TOKEN = "Address of the augmentation service", "Token"
CLOUD_ADDRESS_INFO = "Empty: the service that this app starts on this computer."
OFFLINE = "Offline: open no connection to another computer"
SAVE_CLOUD = "Use this address"
MODELS_TITLE = "### Models"
DEVICE_MODEL = "Model on this computer"
FETCH_BROKE_OFF = "The fetch broke off unexpectedly; fetch it again, or see where the app was started."
BASES_TITLE = "### Bases"
BASES_LEAD = (
    "What a model has already learned of a task from other people's public data. Your own adapter is trained on top"
    " of it, and writes with it."
)
BASE_TASK, BASE_CHOICE = "Task", "Base for this task"
BASE_AUTOMATIC, BASE_NONE = "Automatic: the one that fits", "None: the bare model"
LOOK_FOR_BASES = "Look for bases at the service"
BASE_SAVED = "This base is used from now on; adapters go on with the base that they learned on."
DOCTOR_TITLE = "### Doctor"
EXAMINE = "Examine this computer"

# Scores, on hovering
ENTAILS_HELP = "Probability that the new input follows from yours"
ENTAILED_HELP = "Probability that yours follows from the new input"
ROUGE_HELP = "ROUGE-L: how much of the wording is the same"
LENGTH_HELP = "Length of the new input, in times the length of yours"
NOTHING_TO_UNDO = "There is nothing left to take back."
THRESHOLDS_BACK = "The thresholds are where they were before."
VOTED = "Your vote is kept."
KEPT = "Kept as a record in your History."

# Settings, answers
PLACES_HEADLINE = "Your data and the service"
CLOUD_SAVED = "The address is used from now on."
MODEL_SAVED = "This model is used from now on; adapters of other models stay off."
KEPT_BEFORE = "This answer is a record of your History already."

# Settings, the person's data
WAYS_TITLE = "### Everything that uses the network"
LEDGER_TITLE = "### What left this computer"
LEFT_TITLE = "What left this computer"
LEFT_SUMMARY = "{uploads}, written down in a ledger that can only grow. The newest first."
WHOLE_LEDGER = "The whole ledger is in Settings"
LEDGER_WHOLE = "{lines}; none is missing or changed."
LEDGER_COLUMNS = ("When", "Where to", "Records", "Bytes", "SHA-256", "Outcome", "Attempt")
PRICES = "Prices of the service, for the estimate"
PRICE_READ, PRICE_WRITTEN = "A million tokens read", "A million tokens written"
DATA_TITLE = "### Your data"
EXPORT, MAKE_FINAL = "Export everything", "Make deletions final"
EXPORTED = "Everything is in one archive"
FINAL_DONE, FINAL_TEXT = (
    "Nothing can be undone any more",
    "Deleted records, earlier texts and what was made from them are gone",
)
RESTORE, RESTORE_LABEL = "Bring an archive back", "Archive (ZIP) that Export wrote; this data folder must be empty"
RESTORED = "Everything of the archive is here"
RESTORED_TEXT = "{records} came back with all that belongs there, and {files} of adapters."
WIPE, WIPE_LABEL, WIPE_WORD = "Delete everything", "Type: delete everything", "delete everything"
WIPED = "All your data is deleted"
WIPED_TEXT = (
    "Records, pairs, adapters, settings and the ledger are gone; models, archives that you exported and the offline"
    " switch stay."
)
