"""STARD-AI: reporting of diagnostic accuracy studies that use artificial intelligence."""

from bus_lightning.report.checklists import HEAD, Checklist, Item

_SCORES = ("Classification", "Segmentation")
STARD_AI = Checklist(
    "stard_ai",
    "STARD-AI",
    "Sounderajah V. et al. The STARD-AI reporting guideline for diagnostic accuracy studies using artificial "
    "intelligence. Nature Medicine 31 (2025) 3283",
    "The numbers 1 to 30 follow STARD 2015, on which STARD-AI builds. The 40 numbers of STARD-AI were not at "
    "hand: what it adds stands at the end as A1 to A12, by topic. Use its own numbers when you submit.",
    {
        "Title, abstract and introduction": (
            Item("1", "the title or abstract names a study of diagnostic accuracy"),
            Item("2", "abstract", ("In short",), add="the abstract"),
            Item("3", "background, intended use and clinical role"),
            Item("4", "objectives and hypotheses", ("protocol_*",)),
        ),
        "Methods": (
            Item("5", "data collected before or after the tests were planned"),
            Item("6", "who could take part", ("flow*",), add="the criteria of the data sets"),
            Item("7", "how participants were identified"),
            Item("8", "where and when", ("data_facts",)),
            Item("9", "consecutive, random or convenience series"),
            Item("10a", "the index test, here the network", ("costs", "Training"), ("config.yaml",)),
            Item("10b", "the reference standard", ("data_facts",)),
            Item("11", "why this reference standard"),
            Item("12a", "thresholds of the index test, chosen before or after", ("operating_points*",),
                 otherwise="the most probable class; no threshold is chosen"),
            Item("12b", "thresholds of the reference standard"),
            Item("13a", "what the index test knew", ("Checks",), ("config.yaml",)),
            Item("13b", "what the readers of the reference standard knew"),
            Item("14", "how accuracy was estimated and compared", (*_SCORES, "comparisons_*")),
            Item("15", "results that cannot be decided", ("selective*", "risk_coverage_*"),
                 otherwise="not applicable, because every image gets an answer"),
            Item("16", "missing data", ("flow*", "left_out")),
            Item("17", "variation of accuracy, planned or exploratory", ("confounders_*", "strata_*", "variance_*")),
            Item("18", "sample size", ("sample_size*", "characteristics*")),
        ),
        "Results": (
            Item("19", "flow of the participants", ("flow*",)),
            Item("20", "characteristics of the participants", ("characteristics*",), add="clinical data"),
            Item("21a", "severity of the disease", ("characteristics*",), add="stages"),
            Item("21b", "other diagnoses of those without the disease"),
            Item("22", "time and treatment between the two tests"),
            Item("23", "table of the index test against the reference standard",
                 ("operating_points*", "confusion_*", "lesion_detection")),
            Item("24", "accuracy with intervals", ("in_short_*", *_SCORES, "operating_points*")),
            Item("25", "harm", otherwise="not applicable, because no patient was examined for this study"),
        ),
        "Discussion and other information": (
            Item("26", "limits, bias and generality", ("data_limits", "Checks", "across_*"),
                 add="the limits of the design"),
            Item("27", "consequences for practice"),
            Item("28", "registration"),
            Item("29", "protocol", ("protocol_*",)),
            Item("30", "funding"),
        ),
        "What STARD-AI adds, by topic": (
            Item("A1", "origin, annotation and licence of each data set", ("data_facts", "data_limits")),
            Item("A2", "preprocessing and quality control of the data", ("flow*", "Checks"), ("config.yaml",)),
            Item("A3", "parts, and whether they share patients", ("splits", "flow*"), ("split.json",)),
            Item("A4", "test data from other places", ("across_*",),
                 otherwise="not in this report: no run was evaluated on another data set"),
            Item("A5", "version, hardware and software of the network", (HEAD,), ("status.json",)),
            Item("A6", "training and selection of the network", ("Training", "protocol_*"), ("config.yaml",)),
            Item("A7", "bias and fairness between groups", ("confounders_*",), add="groups of patients"),
            Item("A8", "errors, and when the network fails",
                 ("worst_errors*", "segmentations*", "dice_*", "robustness*")),
            Item("A9", "use by people, and what they see", otherwise="not applicable, because nobody used the network"),
            Item("A10", "availability of code, model and data", (HEAD, "data_facts"), add="where theirs can be had"),
            Item("A11", "ethical approval, and involvement of patients"),
            Item("A12", "commercial interests"),
        ),
    },
)  # fmt: skip
