-- Written by acsync dbt, which overwrites this file. To keep your own version, delete this line.
-- The snapshots compare changed_at, which has a time zone, with this time. dbt's own macro has none.
{% macro postgres__snapshot_get_time() -%}
    {{ current_timestamp() }}
{%- endmacro %}
