"""CLAIM 2024: the checklist for artificial intelligence in medical imaging."""

from bus_lightning.report.checklists import EXTERNAL, HEAD, SCORES, Checklist, Entry

CLAIM = Checklist(
    "claim",
    "CLAIM 2024",
    "Tejani A. S. et al. Checklist for Artificial Intelligence in Medical Imaging (CLAIM): 2024 update. Radiology: "
    "Artificial Intelligence 6 (2024) e240300",
    "The numbers follow the 44 items of the update of 2024, and agree with the list that its publisher keeps at "
    "https://github.com/RSNA/CLAIM.",
    {
        "Title, abstract and introduction": (
            Entry("1", "the title or abstract names the kind of AI"),
            Entry("2", "a summary of design, methods, results and conclusions", ("In short",), add="the abstract"),
            Entry("3", "background, intended use and clinical role"),
            Entry("4", "aims and hypotheses"),
        ),
        "Methods: design and data": (
            Entry("5", "prospective or retrospective"),
            Entry("6", "goal of the study"),
            Entry("7", "sources of the data", ("data_facts",)),
            Entry("8", "inclusion and exclusion", ("flow*",), add="how the patients were recruited"),
            Entry("9", "preprocessing of the data", files=("config.yaml",)),
            Entry("10", "selection of a subset of the data", ("flow*",)),
            Entry("11", "de-identification"),
            Entry("12", "missing data", ("flow*", "left_out")),
            Entry("13", "acquisition of the images", ("data_facts", "characteristics*"), add="scanner settings"),
        ),
        "Methods: reference standard": (
            Entry("14", "how the reference standard was obtained", ("data_facts",)),
            Entry("15", "why this reference standard"),
            Entry("16", "who annotated, with which experience", ("data_facts",)),
            Entry("17", "annotation of the test images", ("data_facts",)),
            Entry("18", "variation between and within annotators", ("data_limits",)),
        ),
        "Methods: parts": (
            Entry("19", "how images were assigned to the parts", ("splits", "flow*"), ("split.json",)),
            Entry("20", "at which level the parts are disjoint", ("splits", "Checks")),
            Entry("21", "size of the test data, and why", ("sample_size*", "characteristics*"),
                  add="how this number was chosen"),
        ),
        "Methods: model and training": (
            Entry("22", "description of the model", ("costs",), ("config.yaml",)),
            Entry("23", "software", (HEAD,), ("status.json",)),
            Entry("24", "initial values of the parameters", files=("config.yaml",)),
            Entry("25", "training: augmentation, hyperparameters, number of models", ("Training",), ("config.yaml",)),
            Entry("26", "how the final model was selected", ("protocol_*",), ("status.json",)),
            Entry("27", "ensembles", ("ensembles*",), otherwise="not applicable, because no condition is an ensemble"),
        ),
        "Methods: evaluation": (
            Entry("28", "metrics", ("in_short_*", *SCORES)),
            Entry("29", "significance and uncertainty", ("comparisons_*", "variance_*", *SCORES)),
            Entry("30", "robustness and sensitivity", ("robustness*", "Robustness*", "strata_*", "confounders_*")),
            Entry("31", "explanation of predictions", ("heat_maps_*", "Heat maps*"),
                  otherwise="not in this report: no run has heat maps (`evaluate.py explain=true`)"),
            Entry("32", "test on internal data", ("in_short_*", *SCORES)),
            Entry("33", "test on external data", (EXTERNAL,),
                  otherwise="not in this report: no run was evaluated on another data set"),
            Entry("34", "registration of a clinical trial", otherwise="not applicable, because this is not a trial"),
        ),
        "Results": (
            Entry("35", "patients and images included and excluded", ("flow*",)),
            Entry("36", "characteristics of each part", ("characteristics*",), add="age and other clinical data"),
            Entry("37", "performance with uncertainty", SCORES),
            Entry("38", "diagnostic performance and its precision",
                  ("operating_points*", "predictive_values", "roc_*", "confusion_*", "lesion_detection")),
            Entry("39", "analysis of failures", ("worst_errors*", "segmentations*", "dice_*", "confounders_*")),
        ),
        "Discussion and other information": (
            Entry("40", "limits of the study", ("data_limits", "Checks"), add="the limits of the design"),
            Entry("41", "consequences for practice"),
            Entry("42", "protocol or further technical details", ("protocol_*",), ("config.yaml",)),
            Entry("43", "availability of code, model and data", (HEAD, "data_facts"), add="where theirs can be had"),
            Entry("44", "funding"),
        ),
    },
)  # fmt: skip
