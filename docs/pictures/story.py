"""One real erasure on the credit example, from the letter to the certificate, told in pictures as it happens.

Every command goes to a real server on a temporary home; a command that does not end as the how-to says ends the story with an error.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import time
from collections.abc import Mapping
from email import message_from_bytes
from email.message import Message
from pathlib import Path

from paper import page_picture
from terminal import Terminal

from governance.cli.demo.river import River
from governance.cli.demo.story import Story
from governance.cli.demo.world import World

__all__ = ["Office", "show", "tell"]

_MAIL_SECONDS = 150.0

LETTERS = """type,value,regulation,ground
applicant,23,GDPR,Art. 17(1)(b)
applicant,41,GDPR,Art. 17(1)(a)
applicant,,GDPR,Art. 17(1)(a)
applicant,57,GPDR,Art. 17(1)(a)
applicant,88,LGPD,Art. 18 VI
"""
"""What a mailbox left over the weekend: one row without a person, one with a law that is none."""


class Office(World):
    """The world of the demo, with a spool folder for messages and the desks of those who type."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.desk = folder / "desk"
        self.desk.mkdir()
        self.spool = self.desk / "spool"

    def _environment(self, who: str | None) -> Mapping[str, str]:
        return {**super()._environment(who), "GOVERN_SPOOL": str(self.spool), "GOVERN_MAIL_FROM": "privacy@example.org"}

    def window(self) -> Terminal:
        """A terminal in which both officers type, and somebody who has no key at all."""
        path = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
        outside = {name: value for name, value in super()._environment(None).items() if not name.startswith("GOVERN_")}
        people = {"officer": self._environment("officer"), "second officer": self._environment("approver"), "auditor": outside}
        return Terminal(self.desk, {who: {**seen, **path} for who, seen in people.items()})

    def mail(self, subject: str) -> Message:
        """The newest message of that subject, once it is there; the server looks every minute for what is to be sent."""
        end = time.monotonic() + _MAIL_SECONDS
        while time.monotonic() < end:
            for path in sorted(self.spool.glob("*.eml"), key=lambda one: one.stat().st_mtime_ns, reverse=True):
                found = message_from_bytes(path.read_bytes())
                if found["Subject"] == subject:
                    return found
            time.sleep(0.5)
        raise RuntimeError(f"no message {subject!r} came within {_MAIL_SECONDS:.0f} s; {self.log} may say why")


def tell(folder: Path, images: Path) -> None:
    """Run the story in a folder, and write its pictures.

    Args:
        folder: an empty one; home, project and papers stay in it.
        images: where the pictures go; those of the same names are replaced.
    """
    office = Office(folder)
    river = River(office, Story(silent=True), model="credit-risk", dp=False)
    river.start()
    with office.server():
        for step in (river.keys, river.data, river.train, river.judge, river.release, river.predict):
            step()
        show(office, images, str(river.facts["row"]["applicant"]))


def show(office: Office, images: Path, person: str) -> None:
    """The pictures of an office whose server runs and whose model serves, about one of the applicants it was trained on."""
    office.govern("recipients", "add", "Example Scoring Bureau", "--role", "processor", "--asset", "dataset:credit.train", who="officer")
    screen = office.window()
    _intake(screen, office, images, person)
    _review(screen, images)
    _done(screen, office, images)
    _outside(screen, office, images)
    _bulk(screen, office, images)
    _beside(screen, office, images, person)


def _intake(screen: Terminal, office: Office, images: Path, person: str) -> None:
    (office.desk / "person.txt").write_text(f"applicant:{person}\n")
    (office.desk / "contact.txt").write_text("name@example.org\n")
    screen.type("officer", "cat person.txt contact.txt")
    screen.type("officer", "govern impact --subject person.txt")
    screen.picture(images / "erasure-impact.svg", "What holds this person")

    said = screen.type(
        "officer", 'govern erasure request --subject person.txt --contact contact.txt --regulation GDPR --ground "Art. 17(1)(b)"'
    )
    found = re.search(r"request\s+(\S+)", said)
    if found is None:
        raise RuntimeError(f"no number of a request in {said!r}")
    screen.set("officer", "ID", found[1])
    screen.type("officer", "rm person.txt contact.txt")
    screen.picture(images / "erasure-request.svg", "A request is entered")

    screen.type("officer", "govern erasure challenge $ID --method code")
    sent = office.mail("Your code")
    screen.remark("what the person gets")
    screen.letter(sent)
    code = re.search(r"is (\d{4} \d{4})\.", bytes(sent.get_payload(decode=True)).decode())
    if code is None:
        raise RuntimeError("the message holds no code")
    wrong = f"{(int(code[1][:4]) + 1) % 10000:04} {code[1][5:]}"
    screen.remark("the person reads it out on the telephone; the first time somebody mistypes it")
    screen.type("officer", f'echo "{wrong}" | govern erasure verify $ID --code -', expect=3)
    screen.type("officer", f'echo "{code[1]}" | govern erasure verify $ID --code -')
    screen.picture(images / "erasure-identity.svg", "The person shows who they are")


def _review(screen: Terminal, images: Path) -> None:
    screen.type("officer", "govern erasure plan $ID")
    screen.picture(images / "erasure-plan.svg", "What would happen, before anyone approves")
    screen.type("officer", "govern erasure approve $ID", expect=1)
    screen.type("second officer", "govern erasure approve $ID --note 'ground and scope checked'")
    screen.picture(images / "erasure-approve.svg", "A second person approves")


def _done(screen: Terminal, office: Office, images: Path) -> None:
    end = time.monotonic() + _MAIL_SECONDS
    while time.monotonic() < end:
        far = json.loads(screen.type("officer", "govern erasure plan $ID --json", hidden=True))["progress"]
        if far["done"] + far["worked_on"]:
            break
    screen.type("officer", "govern erasure plan $ID")
    screen.picture(images / "erasure-progress.svg", "How far it is")
    screen.type("officer", "govern erasure show $ID --wait")
    screen.picture(images / "erasure-done.svg", "Erased, asset by asset")
    screen.type("officer", "govern recipients tasks $ID")
    task = screen.type("officer", "govern recipients tasks $ID --json | grep -m1 '\"id\"'", hidden=True)
    screen.set("officer", "TASK", task.split('"')[3])
    screen.type("officer", "govern recipients acknowledge $ID $TASK --reference ticket-4711")
    screen.picture(images / "erasure-recipients.svg", "Who had the data is told")
    screen.remark("when the request was received")
    screen.letter(office.mail("We received your request"))
    screen.remark("when it was answered")
    screen.letter(office.mail("Your request is answered"))
    screen.picture(images / "erasure-letters.svg", "What the person is told")


def _outside(screen: Terminal, office: Office, images: Path) -> None:
    screen.type("officer", "govern erasure certificate $ID -o certificate.pdf")
    screen.type("officer", "govern keys public -o keys.json")
    empty = office.desk / "empty"
    empty.mkdir()
    for name in ("certificate.pdf", "keys.json"):
        shutil.copy(office.desk / name, empty / name)
    screen.remark("elsewhere, without a server, a key or a network")
    screen.type("auditor", "cd empty; ls; govern verify certificate.pdf --keys keys.json")
    screen.remark("with one byte more")
    screen.type("auditor", "cd empty; echo >> certificate.pdf; govern verify certificate.pdf --keys keys.json", expect=3)
    screen.picture(images / "erasure-verify.svg", "The certificate is checked by somebody else")
    page_picture(office.desk / "certificate.pdf", 1, images / "certificate.png")
    for page in (2, 3):
        page_picture(office.desk / "certificate.pdf", page, images / f"erasure-certificate-{page}.png")


def _bulk(screen: Terminal, office: Office, images: Path) -> None:
    (office.desk / "letters.csv").write_text(LETTERS)
    screen.type("officer", "cat letters.csv")
    screen.type("officer", "govern erasure intake letters.csv --dry-run", expect=1)
    screen.type("officer", "sed -i '4d; s/GPDR/GDPR/' letters.csv")
    screen.type("officer", "govern erasure intake letters.csv --key monday")
    screen.type("officer", "govern erasure intake letters.csv --key monday")
    screen.type("officer", "govern erasure list")
    screen.picture(images / "erasure-intake.svg", "Many letters at once")


def _beside(screen: Terminal, office: Office, images: Path, person: str) -> None:
    """A refusal, and a hold: each on a request of its own."""
    refused, held = (int(person) % 900 + more for more in (2, 3))
    (office.desk / "contact.txt").write_text("other@example.org\n")
    said = screen.type("officer", f"echo applicant:{refused} | govern erasure request --subject - --contact contact.txt", hidden=True)
    screen.variables["ID"] = said.split()[1]
    screen.type("officer", 'govern erasure verify $ID --method "identity card" --verifier "front desk"', hidden=True)
    reasons = "It is the third request this month; nothing changed since the second."
    screen.type("second officer", f'govern erasure refuse $ID --ground art-12-5-b --reasons "{reasons}"')
    screen.remark("what the person is told")
    screen.letter(office.mail("About your request"))
    screen.picture(images / "erasure-refuse.svg", "A refusal names its ground")

    said = screen.type("officer", f"echo applicant:{held} | govern erasure request --subject -", hidden=True)
    screen.variables["ID"] = said.split()[1]
    screen.type("officer", 'govern erasure verify $ID --method "identity card" --verifier "front desk"', hidden=True)
    ground = "court file 12 C 345: needed as evidence"
    screen.type("officer", f'govern erasure hold $ID dataset:credit.raw --ground "{ground}" --review 2027-01-31T00:00:00Z | head -2')
    screen.type("second officer", "govern erasure approve $ID | head -2")
    screen.type("officer", "govern erasure show $ID --wait", expect=4)
    screen.remark("months later")
    screen.type("officer", 'govern erasure release $ID dataset:credit.raw --reason "the case is closed" | head -2')
    screen.type("officer", "govern erasure show $ID --wait | grep -E 'state|credit.raw'")
    screen.picture(images / "erasure-hold.svg", "One asset is kept for now, the others go on")
