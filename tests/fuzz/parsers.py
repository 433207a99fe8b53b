"""Every parser of text that a stranger may have written, as a function of bytes."""

import io

from fenglin.api.query import JOBS, LOGS, WATCH, read_query
from fenglin.catalog.inventory.totals import parse_total
from fenglin.catalog.offers.read import read_skypilot_csv
from fenglin.catalog.pricebook.files import read_book_csv, read_skypilot_drafts
from fenglin.intake.devicefile import read_device_file
from fenglin.intake.dialects.registry import TITLES, read_jobs
from fenglin.intake.hubfile import read_hub_file
from fenglin.intake.inventoryfile import read_inventory_file
from fenglin.intake.native import check_documents, decode_batch, decode_json
from fenglin.intake.policyfile import read_policy_text
from fenglin.intake.voucherasks import read_applications
from fenglin.intake.voucherfile import read_voucher_file
from fenglin.ledger.metering.cells import Reading
from fenglin.ledger.metering.forms import READERS
from fenglin.ledger.metering.metered import MeteredUse
from fenglin.ledger.note import parse_private_key, parse_public_key, read_checkpoint, read_note
from fenglin.ledger.proof import read_proof
from fenglin.model.ids import parse_attempt_key, parse_job_id
from fenglin.probes.answer import read_answer
from fenglin.quantities.durations import parse_duration_ms
from fenglin.quantities.money import parse_money_micro
from fenglin.quantities.period import parse_offset_min, parse_period
from fenglin.quantities.sizes import parse_bytes, parse_milli
from fenglin.witness.rules import read_request

NOW_MS = 1_800_000_000_000
TERMS = ("carbon", "egress", "finish", "price")


def text_of(data):
    """Return bytes as programs read files: what is no UTF-8 is replaced."""
    return data.decode("utf-8", "replace")


def job(dialect):
    """Return a parser of job files in one dialect."""

    def parse(data):
        found = read_jobs(data, "job", NOW_MS, dialect=dialect)
        check_documents([one.document for one in found.jobs], NOW_MS)

    return parse


def metering(form):
    """Return a parser of a provider's accounting."""

    def parse(data):
        reading = Reading("file")
        records = list(READERS[form](io.StringIO(text_of(data), newline=""), reading, 480))
        for record in records:
            # What the database, and an entry of the ledger, can hold.
            if isinstance(record, MeteredUse):
                assert 0 <= record.quantity <= 10**30
                assert abs(record.started_ms) < 2**63
                assert 0 <= record.job < 2**63
                continue
            for amount in (record.wall_ms, record.core_ms, record.card_ms, record.energy_j):
                assert amount is None or 0 <= amount < 2**63

    return parse


def note(data):
    """Read a signed note, and the checkpoint in it."""
    read_checkpoint(read_note(data).text)


PARSERS = {
    **{f"job-{name}": job(name) for name in TITLES},
    "job-any": job(""),
    "job-body": lambda data: decode_json(data, NOW_MS),
    "job-batch": lambda data: decode_batch(data, NOW_MS),
    "hub": lambda data: read_hub_file(text_of(data), "fenglin.toml"),
    "policy-toml": lambda data: read_policy_text(text_of(data), "p.toml", TERMS),
    "policy-yaml": lambda data: read_policy_text(text_of(data), "p.yaml", TERMS),
    "devices": lambda data: read_device_file(text_of(data), "devices.toml"),
    "inventory": lambda data: read_inventory_file(text_of(data), "inventory.toml"),
    "scheme": lambda data: read_voucher_file(text_of(data), "scheme.toml"),
    "applications": lambda data: read_applications(text_of(data), "a.toml", "CNY"),
    "prices": lambda data: read_book_csv(text_of(data), "prices.csv", 480),
    "prices-skypilot": lambda data: read_skypilot_drafts(text_of(data), "vms.csv", "aws"),
    "offers": lambda data: read_skypilot_csv(text_of(data), "aws", "vms.csv"),
    **{f"metering-{form}": metering(form) for form in READERS},
    "note": note,
    "proof": read_proof,
    "witness-request": read_request,
    "public-key": lambda data: parse_public_key(text_of(data)),
    "private-key": lambda data: parse_private_key(text_of(data)),
    "probe-answer": lambda data: read_answer(data, "answer"),
    "query-jobs": lambda data: read_query(data, JOBS),
    "query-logs": lambda data: read_query(data, LOGS),
    "query-watch": lambda data: read_query(data, WATCH),
    "duration": lambda data: parse_duration_ms(text_of(data)),
    "money": lambda data: parse_money_micro(text_of(data)),
    "bytes": lambda data: parse_bytes(text_of(data)),
    "milli": lambda data: parse_milli(text_of(data)),
    "period": lambda data: parse_period(text_of(data)),
    "offset": lambda data: parse_offset_min(text_of(data)),
    "job-id": lambda data: parse_job_id(text_of(data)),
    "attempt-key": lambda data: parse_attempt_key(text_of(data)),
    "total": lambda data: parse_total(text_of(data)),
}
