"""TRIPOD+AI: reporting of prediction models that use regression or machine learning."""

from bus_lightning.report.checklists import HEAD, SCORES, Checklist, Item

_NO_UPDATE = "not applicable, because no model was updated"
TRIPOD_AI = Checklist(
    "tripod_ai",
    "TRIPOD+AI",
    "Collins G. S. et al. TRIPOD+AI statement: updated guidance for reporting clinical prediction models that use "
    "regression or machine learning methods. BMJ 385 (2024) e078378",
    "The numbers follow the 27 items of 2024. They were not compared with the published table: check them before you "
    "submit.",
    {
        "Title, abstract and introduction": (
            Item("1", "the title says development or evaluation, population and outcome"),
            Item("2", "abstract", ("In short",), add="the abstract"),
            Item("3a", "health care context and existing models"),
            Item("3b", "target population, purpose and users"),
            Item("3c", "known inequalities between groups of patients"),
            Item("4", "objectives; development, evaluation or both", ("protocol_*",)),
        ),
        "Methods: data and participants": (
            Item("5a", "sources of the data, and whether they are representative", ("data_facts", "data_limits")),
            Item("5b", "dates of the data", ("data_facts",)),
            Item("6a", "setting and centres", ("data_facts",)),
            Item("6b", "who could take part", ("flow*",), add="the criteria of the data sets"),
            Item("6c", "treatments", otherwise="not applicable, because the images are of the diagnosis"),
            Item("7", "preparation of the data", ("flow*",), ("config.yaml",)),
        ),
        "Methods: outcome, predictors and sample size": (
            Item("8a", "the outcome and how it was assessed", ("data_facts",)),
            Item("8b", "who assessed it", ("data_facts",)),
            Item("8c", "blinding of the assessment"),
            Item("9a", "choice of the predictors", otherwise="not applicable, because the image is the only predictor"),
            Item("9b", "definition of the predictors", files=("config.yaml",)),
            Item("9c", "who assessed predictors", otherwise="not applicable, because nobody reads the image"),
            Item("10", "sample size", ("sample_size*", "characteristics*")),
            Item("11", "missing data", ("flow*", "left_out")),
        ),
        "Methods: analysis": (
            Item("12a", "how the data were used and divided", ("splits", "flow*"), ("split.json",)),
            Item("12b", "handling of the predictors", files=("config.yaml",)),
            Item("12c", "model, training, tuning and internal validation", ("Training", "costs"), ("config.yaml",)),
            Item("12d", "differences between clusters", ("across_*", "confounders_*", "variance_*")),
            Item("12e", "measures of performance, and comparisons",
                 (*SCORES, "comparisons_*", "calibration", "reliability_*", "decision_curve_*")),
            Item("12f", "updating of the model", otherwise=_NO_UPDATE),
            Item("12g", "how predictions were computed for the evaluation", files=("config.yaml", "cases.csv")),
            Item("13", "imbalance of the classes", ("characteristics*",), ("config.yaml",)),
            Item("14", "fairness", ("confounders_*",), add="groups of patients, which the data sets do not state"),
            Item("15", "output of the model, and thresholds", ("operating_points*",), ("cases.csv",)),
            Item("16", "differences between development and evaluation data", ("characteristics*", "across_sets")),
            Item("17", "ethical approval"),
        ),
        "Open science and public involvement": (
            Item("18a", "funding"),
            Item("18b", "conflicts of interest"),
            Item("18c", "protocol", ("protocol_*",)),
            Item("18d", "registration"),
            Item("18e", "availability of the data", ("data_facts",)),
            Item("18f", "availability of the code", (HEAD,), ("status.json",)),
            Item("19", "involvement of patients and the public"),
        ),
        "Results": (
            Item("20a", "flow of the participants", ("flow*",)),
            Item("20b", "characteristics of the participants", ("characteristics*",), add="clinical data"),
            Item("20c", "comparison of development and evaluation data", ("characteristics*", "across_sets")),
            Item("21", "participants and outcomes in each analysis", ("characteristics*", "flow*", *SCORES)),
            Item("22", "the full model", ("costs",), ("config.yaml",), add="where the weights can be had"),
            Item("23a", "performance with intervals, also of subgroups", (*SCORES, "confounders_*", "strata_*")),
            Item("23b", "differences of performance between clusters", ("across_*", "variance_*"),
                 otherwise="not in this report: all images come from one data set"),
            Item("24", "results of updating", otherwise=_NO_UPDATE),
        ),
        "Discussion": (
            Item("25", "interpretation, also of fairness", ("In short",), add="the interpretation"),
            Item("26", "limits", ("data_limits", "Checks"), add="the limits of the design"),
            Item("27a", "what is done with poor or missing input", ("robustness*", "Robustness*", "selective*")),
            Item("27b", "what users must do and know"),
            Item("27c", "next steps"),
        ),
    },
)  # fmt: skip
