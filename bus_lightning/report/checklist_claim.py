"""CLAIM 2024: the checklist for artificial intelligence in medical imaging."""

from bus_lightning.report.checklists import HEAD, SCORES, Checklist, Item

CLAIM = Checklist(
    "claim",
    "CLAIM 2024",
    "Tejani A. S. et al. Checklist for Artificial Intelligence in Medical Imaging (CLAIM): 2024 update. Radiology: "
    "Artificial Intelligence 6 (2024) e240300",
    "The numbers follow the 44 items of the update of 2024. They were not compared with the published table: check "
    "them before you submit.",
    {
        "Title, abstract and introduction": (
            Item("1", "the title or abstract names the kind of AI"),
            Item("2", "a summary of design, methods, results and conclusions", ("In short",), add="the abstract"),
            Item("3", "background, intended use and clinical role"),
            Item("4", "aims and hypotheses", ("protocol_*",)),
        ),
        "Methods: design and data": (
            Item("5", "prospective or retrospective"),
            Item("6", "goal of the study", ("protocol_*",)),
            Item("7", "sources of the data", ("data_facts",)),
            Item("8", "inclusion and exclusion", ("flow*",), add="how the patients were recruited"),
            Item("9", "preprocessing of the data", files=("config.yaml",)),
            Item("10", "selection of a subset of the data", ("flow*",)),
            Item("11", "de-identification"),
            Item("12", "missing data", ("flow*", "left_out")),
            Item("13", "acquisition of the images", ("data_facts", "characteristics*"), add="scanner settings"),
        ),
        "Methods: reference standard": (
            Item("14", "how the reference standard was obtained", ("data_facts",)),
            Item("15", "why this reference standard"),
            Item("16", "who annotated, with which experience", ("data_facts",)),
            Item("17", "annotation of the test images", ("data_facts",)),
            Item("18", "variation between and within annotators", ("data_limits",)),
        ),
        "Methods: parts": (
            Item("19", "how images were assigned to the parts", ("splits", "flow*"), ("split.json",)),
            Item("20", "at which level the parts are disjoint", ("splits", "Checks")),
            Item("21", "size of the test data, and why", ("sample_size*", "characteristics*")),
        ),
        "Methods: model and training": (
            Item("22", "description of the model", ("costs",), ("config.yaml",)),
            Item("23", "software", (HEAD,), ("status.json",)),
            Item("24", "initial values of the parameters", files=("config.yaml",)),
            Item("25", "training: augmentation, hyperparameters, number of models", ("Training",), ("config.yaml",)),
            Item("26", "how the final model was selected", ("protocol_*",), ("status.json",)),
            Item("27", "ensembles", ("ensembles*",), otherwise="not applicable, because no condition is an ensemble"),
        ),
        "Methods: evaluation": (
            Item("28", "metrics", ("in_short_*", *SCORES)),
            Item("29", "significance and uncertainty", ("comparisons_*", "variance_*", *SCORES)),
            Item("30", "robustness and sensitivity", ("robustness*", "Robustness*", "strata_*", "confounders_*")),
            Item("31", "explanation of predictions", ("heat_maps_*", "Heat maps*"),
                 otherwise="not in this report: no run has heat maps (`evaluate.py explain=true`)"),
            Item("32", "test on internal data", ("in_short_*", *SCORES)),
            Item("33", "test on external data", ("across_*",),
                 otherwise="not in this report: no run was evaluated on another data set"),
            Item("34", "registration of a clinical trial", otherwise="not applicable, because this is not a trial"),
        ),
        "Results": (
            Item("35", "patients and images included and excluded", ("flow*",)),
            Item("36", "characteristics of each part", ("characteristics*",), add="age and other clinical data"),
            Item("37", "performance with uncertainty", SCORES),
            Item("38", "diagnostic performance and its precision",
                 ("operating_points*", "predictive_values", "roc_*", "confusion_*", "lesion_detection")),
            Item("39", "analysis of failures", ("worst_errors*", "segmentations*", "dice_*", "confounders_*")),
        ),
        "Discussion and other information": (
            Item("40", "limits of the study", ("data_limits", "Checks"), add="the limits of the design"),
            Item("41", "consequences for practice"),
            Item("42", "protocol or further technical details", ("protocol_*",), ("config.yaml",)),
            Item("43", "availability of software, model and data", (HEAD, "data_facts"), add="where theirs can be had"),
            Item("44", "funding"),
        ),
    },
)  # fmt: skip
