"""The audit log is only ever added to, whoever asks: the database itself refuses the rest.

Statement triggers, because row triggers do not see a TRUNCATE. Payloads may be deleted by who first says
`SET LOCAL countersign.erasing = 'on'`, which the erasure of a person does.
"""

from django.db import migrations

FUNCTION = """
CREATE FUNCTION countersign_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND TG_TABLE_NAME = 'approvals_auditpayload'
        AND current_setting('countersign.erasing', true) = 'on' THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION '% is only ever added to: % is refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'insufficient_privilege';
END $$
"""
TRIGGER = """
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION countersign_append_only()
"""
TABLES = ("approvals_auditevent", "approvals_auditpayload", "approvals_auditseal", "approvals_audithead")


class Migration(migrations.Migration):
    """One function and four triggers."""

    dependencies = [("approvals", "0001_initial")]

    operations = [
        migrations.RunSQL(FUNCTION, "DROP FUNCTION countersign_append_only"),
        *(migrations.RunSQL(TRIGGER.format(table=table), f"DROP TRIGGER append_only ON {table}") for table in TABLES),
    ]
