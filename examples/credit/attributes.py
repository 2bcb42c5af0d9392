"""What the codes of german.data mean (german.names), and what the model reads of them."""

from __future__ import annotations

CODES = {
    "checking_account": {"A11": "below 0 DM", "A12": "0 to 200 DM", "A13": "200 DM or more", "A14": "none"},
    "credit_history": {
        "A30": "no credits taken",
        "A31": "all paid back here",
        "A32": "existing paid back till now",
        "A33": "delays in the past",
        "A34": "critical account",
    },
    "purpose": {
        "A40": "new car",
        "A41": "used car",
        "A42": "furniture or equipment",
        "A43": "radio or television",
        "A44": "domestic appliances",
        "A45": "repairs",
        "A46": "education",
        "A47": "vacation",
        "A48": "retraining",
        "A49": "business",
        "A410": "other",
    },
    "savings": {"A61": "below 100 DM", "A62": "100 to 500 DM", "A63": "500 to 1000 DM", "A64": "1000 DM or more", "A65": "unknown or none"},
    "employment_since": {
        "A71": "unemployed",
        "A72": "less than 1 year",
        "A73": "1 to 4 years",
        "A74": "4 to 7 years",
        "A75": "7 years or more",
    },
    "guarantors": {"A101": "none", "A102": "co-applicant", "A103": "guarantor"},
    "property": {"A121": "real estate", "A122": "savings agreement or life insurance", "A123": "car or other", "A124": "unknown or none"},
    "other_installments": {"A141": "bank", "A142": "stores", "A143": "none"},
    "housing": {"A151": "rent", "A152": "own", "A153": "for free"},
    "job": {"A171": "unskilled, non-resident", "A172": "unskilled, resident", "A173": "skilled", "A174": "management or self-employed"},
    "telephone": {"A191": "none", "A192": "yes"},
    "foreign_worker": {"A201": "yes", "A202": "no"},
}
PERSONAL = {
    "A91": ("male", "divorced or separated"),
    "A92": ("female", "divorced, separated or married"),
    "A93": ("male", "single"),
    "A94": ("male", "married or widowed"),
    "A95": ("female", "single"),
}
CREDIT = {"1": "good", "2": "bad"}

COLUMNS = (
    "checking_account",
    "duration_months",
    "credit_history",
    "purpose",
    "amount",
    "savings",
    "employment_since",
    "installment_rate",
    "personal",
    "guarantors",
    "residence_since",
    "property",
    "age",
    "other_installments",
    "housing",
    "existing_credits",
    "job",
    "dependents",
    "telephone",
    "foreign_worker",
    "credit",
)
"""The 21 words of a line, in order."""

NUMBERS = {
    "duration_months": (1, 120),
    "amount": (100, 50_000),
    "installment_rate": (1, 4),
    "residence_since": (1, 10),
    "age": (18, 100),
    "existing_credits": (1, 10),
    "dependents": (0, 10),
}
"""Numeric attributes with their public bounds: what the bank's form allows, known without looking at any applicant."""

SEXES = ("female", "male")
AGE_GROUPS = ("25 and younger", "older than 25")


def age_group(age: int) -> str:
    """The two groups of Kamiran and Calders 2009, doi:10.1109/IC4.2009.4909197."""
    return AGE_GROUPS[age > 25]


def read_line(number: int, line: str) -> dict[str, object]:
    """One applicant from one line of german.data; words after the 21st are free remarks. ``ValueError`` names the line, never its words."""
    words = line.split(maxsplit=len(COLUMNS))
    if len(words) < len(COLUMNS):
        raise ValueError(f"line {number} has {len(words)} words instead of {len(COLUMNS)}")
    raw = dict(zip(COLUMNS, words, strict=False))
    try:
        sex, marital_status = PERSONAL[raw.pop("personal")]
        decoded: dict[str, object] = {
            name: int(word) if name in NUMBERS else CODES[name][word] for name, word in raw.items() if name != "credit"
        }
        credit = CREDIT[raw["credit"]]
    except (KeyError, ValueError):
        raise ValueError(f"line {number} holds a code or number that german.names does not know") from None
    return {
        "applicant": number,
        **decoded,
        "sex": sex,
        "marital_status": marital_status,
        "age_group": age_group(int(str(decoded["age"]))),
        "credit": credit,
        "remarks": words[len(COLUMNS)].strip() if len(words) > len(COLUMNS) else None,
    }
