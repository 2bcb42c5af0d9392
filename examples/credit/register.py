"""Make the four datasets of the example known to Govern. Again: nothing changes."""

from __future__ import annotations

from pipeline import Govern

DATASETS = (
    {"name": "credit.raw", "kind": "lines", "path": "german.data", "subject_key": "line", "subject_type": "applicant"},
    {"name": "credit.applicants", "kind": "lance", "subject_key": "applicant", "subject_type": "applicant"},
    {"name": "credit.train", "kind": "lance", "subject_key": "applicant", "subject_type": "applicant"},
    {"name": "credit.test", "kind": "lance", "subject_key": "applicant", "subject_type": "applicant"},
)


def main() -> None:
    """Register them; the landing file must lie in the home's landing folder."""
    with Govern() as govern:
        for one in DATASETS:
            govern.register(one)
            print(f"registered {one['name']}")


if __name__ == "__main__":
    main()
