"""TRIPOD+AI: reporting of prediction models that use regression or machine learning."""

from bus_lightning.report.checklists import EXTERNAL, HEAD, SCORES, Checklist, Entry

_NO_UPDATE = "not applicable, because no model was updated"
TRIPOD_AI = Checklist(
    "tripod_ai",
    "TRIPOD+AI",
    "Collins G. S. et al. TRIPOD+AI statement: updated guidance for reporting clinical prediction models that use "
    "regression or machine learning methods. BMJ 385 (2024) e078378",
    "The numbers follow the 27 items of 2024. They agree with three checklists that other studies have filled; the "
    "published table was not at hand.",
    {
        "Title, abstract and introduction": (
            Entry("1", "the title says development or evaluation, population and outcome"),
            Entry("2", "abstract", ("In short",), add="the abstract"),
            Entry("3a", "health care context and existing models"),
            Entry("3b", "target population, purpose and users"),
            Entry("3c", "known inequalities between groups of patients"),
            Entry("4", "objectives; development, evaluation or both"),
        ),
        "Methods: data and participants": (
            Entry("5a", "sources of the data, and whether they are representative", ("data_facts", "data_limits")),
            Entry("5b", "dates of the data", ("data_facts",)),
            Entry("6a", "setting and centres", ("data_facts",)),
            Entry("6b", "who could take part", ("flow*",), add="the criteria of the data sets"),
            Entry("6c", "treatments", otherwise="not applicable, because the images are of the diagnosis"),
            Entry("7", "preparation of the data", ("flow*",), ("config.yaml",)),
        ),
        "Methods: outcome, predictors and sample size": (
            Entry("8a", "the outcome and how it was assessed", ("data_facts",)),
            Entry("8b", "who assessed it", ("data_facts",)),
            Entry("8c", "blinding of the assessment"),
            Entry("9a", "choice of the predictors", otherwise="not applicable, because the image is the only input"),
            Entry("9b", "definition of the predictors", files=("config.yaml",)),
            Entry("9c", "who assessed predictors", otherwise="not applicable, because nobody reads the image"),
            Entry("10", "sample size", ("sample_size*", "characteristics*"), add="how this number was chosen"),
            Entry("11", "missing data", ("flow*", "left_out")),
        ),
        "Methods: analysis": (
            Entry("12a", "how the data were used and divided", ("splits", "flow*"), ("split.json",)),
            Entry("12b", "handling of the predictors", files=("config.yaml",)),
            Entry("12c", "model, training, tuning and internal validation", ("Training", "costs"), ("config.yaml",)),
            Entry("12d", "differences between clusters", (EXTERNAL, "confounders_*")),
            Entry("12e", "measures of performance, and comparisons",
                  (*SCORES, "comparisons_*", "calibration", "reliability_*", "decision_curve_*")),
            Entry("12f", "updating of the model", otherwise=_NO_UPDATE),
            Entry("12g", "how predictions were computed for the evaluation", files=("config.yaml", "cases.csv")),
            Entry("13", "imbalance of the classes", ("characteristics*",), ("config.yaml",)),
            Entry("14", "fairness", ("confounders_*",), add="groups of patients, which the data sets do not state"),
            Entry("15", "output of the model, and thresholds", ("operating_points*",), ("cases.csv",)),
            Entry("16", "differences between development and evaluation data", ("characteristics*", "across_sets")),
            Entry("17", "ethical approval"),
        ),
        "Open science and public involvement": (
            Entry("18a", "funding"),
            Entry("18b", "conflicts of interest"),
            Entry("18c", "protocol", ("protocol_*",)),
            Entry("18d", "registration"),
            Entry("18e", "availability of the data", ("data_facts",)),
            Entry("18f", "availability of the code", (HEAD,), ("status.json",)),
            Entry("19", "involvement of patients and the public"),
        ),
        "Results": (
            Entry("20a", "flow of the participants", ("flow*",)),
            Entry("20b", "characteristics of the participants", ("characteristics*",), add="clinical data"),
            Entry("20c", "comparison of development and evaluation data", ("characteristics*", "across_sets")),
            Entry("21", "participants and outcomes in each analysis", ("characteristics*", "flow*", *SCORES)),
            Entry("22", "the full model", ("costs",), ("config.yaml",), add="where the weights can be had"),
            Entry("23a", "performance with intervals, also of subgroups", (*SCORES, "confounders_*", "strata_*")),
            Entry("23b", "differences of performance between clusters", (EXTERNAL,),
                  otherwise="not in this report: no run was evaluated on another data set"),
            Entry("24", "results of updating", otherwise=_NO_UPDATE),
        ),
        "Discussion": (
            Entry("25", "interpretation, also of fairness", ("In short",), add="the interpretation"),
            Entry("26", "limits", ("data_limits", "Checks"), add="the limits of the design"),
            Entry("27a", "what is done with poor or missing input", ("robustness*", "Robustness*", "selective*"),
                  add="what users do with it"),
            Entry("27b", "what users must do and know"),
            Entry("27c", "next steps"),
        ),
    },
)  # fmt: skip
