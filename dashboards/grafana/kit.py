"""Our words for Grafana's panels; the only module that imports the Grafana Foundation SDK.

A `Page` lays its panels out from left to right and top to bottom. Every query goes to the data source that the variable
`ds` names. SQL comes from `store/sql/grafana_*.sql`.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from store.queries import sql

with warnings.catch_warnings():
    # The classic schema is announced to end one day; file provisioning still takes nothing else.
    warnings.simplefilter("ignore", DeprecationWarning)
    from grafana_foundation_sdk.builders import bargauge, geomap, stat, table, timeseries
    from grafana_foundation_sdk.builders import common as common_builders
    from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog import builder as cog
from grafana_foundation_sdk.cog import variants
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common, dashboard

DATASOURCE_TYPE = "grafana-postgresql-datasource"
TAG = "misto"

#: Colours that the colour-blind can tell apart (Okabe and Ito), from fine to bad.
FINE, WATCH, WARNING, CRITICAL = "#009E73", "#56B4E9", "#E69F00", "#D55E00"

Format = Literal["table", "time_series"]


class PostgresQuery(variants.Dataquery):
    """A query of Grafana's PostgreSQL data source; the SDK has none."""

    def __init__(self, raw_sql: str, output: Format, ref_id: str) -> None:
        self._raw_sql = raw_sql
        self._output = output
        self._ref_id = ref_id

    def to_json(self) -> dict[str, Any]:
        return {
            "datasource": {"type": DATASOURCE_TYPE, "uid": "${ds}"},
            "editorMode": "code",
            "format": self._output,
            "rawQuery": True,
            "rawSql": self._raw_sql,
            "refId": self._ref_id,
        }


class _Query(cog.Builder[variants.Dataquery]):
    def __init__(self, name: str, output: Format, ref_id: str = "A") -> None:
        self._query = PostgresQuery(sql(name), output, ref_id)

    def build(self) -> variants.Dataquery:
        return self._query


def _source() -> common.DataSourceRef:
    return common.DataSourceRef(type_val=DATASOURCE_TYPE, uid="${ds}")


@dataclass
class Page:
    """A dashboard under construction. `uid` is for ever: links and bookmarks go by it."""

    uid: str
    title: str
    description: str
    since: str = "now-7d"
    refresh: str = "1m"
    _panels: list[Any] = field(default_factory=list)
    _variables: list[Any] = field(default_factory=list)
    _annotations: list[Any] = field(default_factory=list)
    _x: int = 0
    _y: int = 0
    _row_height: int = 0

    def add(self, panel: Any, width: int, height: int) -> None:
        """Put a panel beside the last one, or under it where the 24 columns are full."""
        if self._x + width > 24:
            self._x, self._y, self._row_height = 0, self._y + self._row_height, 0
        panel.id(len(self._panels) + 1).datasource(_source())
        panel.grid_pos(dashboard.GridPos(h=height, w=width, x=self._x, y=self._y))
        self._x += width
        self._row_height = max(self._row_height, height)
        self._panels.append(panel)

    def choose(self, name: str, label: str, query: str, *, several: bool = False) -> None:
        """A variable whose values come from SQL (columns __value and __text)."""
        variable = (
            build.QueryVariable(name)
            .label(label)
            .query(sql(query))
            .datasource(_source())
            .refresh(dashboard.VariableRefresh.ON_DASHBOARD_LOAD)
            .multi(several)
            .include_all(several)
        )
        if several:
            variable.current(dashboard.VariableOption(text=["All"], value=["$__all"], selected=True))
        self._variables.append(variable)

    def annotate(self, name: str, query: str) -> None:
        """Mark spans of time: columns time, timeend, text, tags."""
        self._annotations.append(
            build.AnnotationQuery()
            .name(name)
            .datasource(_source())
            .enable(True)
            .icon_color(CRITICAL)
            .target(_Query(query, "table", "Anno"))
        )

    def json(self) -> str:
        """The dashboard as Grafana reads it, with stable order of keys."""
        page = (
            build.Dashboard(self.title)
            .uid(self.uid)
            .description(self.description)
            .tags([TAG])
            .readonly()
            .refresh(self.refresh)
            .time(self.since, "now")
            .timezone("browser")
            .with_variable(build.DatasourceVariable("ds").label("Data source").type("grafana-postgresql-datasource"))
            .with_variable(
                build.CustomVariable("lang")
                .label("Language")
                .values("English : en,Українська : uk")
                .current(dashboard.VariableOption(text="English", value="en", selected=True))
            )
            .link(
                build.DashboardLink("Misto").type(dashboard.DashboardLinkType.DASHBOARDS).tags([TAG]).as_dropdown(True)
            )
        )
        for variable in self._variables:
            page.with_variable(variable)
        for annotation in self._annotations:
            page.annotation(annotation)
        for panel in self._panels:
            page.with_panel(panel)
        return json.dumps(page.build(), cls=JSONEncoder, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


@dataclass(frozen=True)
class Steps:
    """Colours from a value on; the first holds from the lowest."""

    base: str
    steps: Sequence[tuple[float, str]] = ()

    def builder(self) -> Any:
        all_steps = [dashboard.Threshold(value=None, color=self.base)]
        all_steps += [dashboard.Threshold(value=value, color=color) for value, color in self.steps]
        return build.ThresholdsConfig().mode(dashboard.ThresholdsMode.ABSOLUTE).steps(all_steps)


def _dressed(
    panel: Any, title: str, description: str, unit: str, query: str, output: Format, steps: Steps | None
) -> Any:
    panel.title(title).description(description).unit(unit).with_target(_Query(query, output))
    if steps is not None:
        panel.thresholds(steps.builder())
    return panel


def number(
    title: str, description: str, query: str, unit: str, *, steps: Steps | None = None, decimals: int = 0
) -> Any:
    """One or a few large numbers: every column of the query's one row."""
    panel = _dressed(stat.Panel(), title, description, unit, query, "table", steps or Steps(WATCH))
    panel.decimals(decimals)
    panel.reduce_options(common_builders.ReduceDataOptions().calcs(["lastNotNull"]).fields("/.*/").values(False))
    panel.color_mode(common.BigValueColorMode.VALUE).graph_mode(common.BigValueGraphMode.NONE)
    panel.text_mode(common.BigValueTextMode.VALUE_AND_NAME)
    return panel


def curve(
    title: str, description: str, query: str, unit: str, *, bars: bool = False, steps: Steps | None = None
) -> Any:
    """Values over time: columns time, metric, value (or a column for each series)."""
    panel = _dressed(timeseries.Panel(), title, description, unit, query, "time_series", steps)
    panel.fill_opacity(70 if bars else 8).line_width(1).show_points(common.VisibilityMode.NEVER)
    panel.draw_style(common.GraphDrawStyle.BARS if bars else common.GraphDrawStyle.LINE)
    panel.legend(
        common_builders.VizLegendOptions()
        .display_mode(common.LegendDisplayMode.LIST)
        .placement(common.LegendPlacement.BOTTOM)
        .show_legend(True)
    )
    panel.tooltip(common_builders.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI).sort(common.SortOrder.NONE))
    return panel


def bars(title: str, description: str, query: str, unit: str, *, steps: Steps) -> Any:
    """A bar for each row: columns of name and value."""
    panel = _dressed(bargauge.Panel(), title, description, unit, query, "table", steps)
    panel.min(0).max(100).orientation(common.VizOrientation.HORIZONTAL)
    panel.display_mode(common.BarGaugeDisplayMode.BASIC)
    panel.reduce_options(common_builders.ReduceDataOptions().values(True).calcs([]).fields(""))
    return panel


def rows(
    title: str,
    description: str,
    query: str,
    *,
    units: dict[str, str] | None = None,
    links: dict[str, str] | None = None,
) -> Any:
    """A table. `units` by column; `links` by column to another page, with `${__data.fields...}`."""
    panel = _dressed(table.Panel(), title, description, "short", query, "table", None)
    for column, unit in (units or {}).items():
        panel.override_by_name(column, [dashboard.DynamicConfigValue(id_val="unit", value=unit)])
    for column, url in (links or {}).items():
        link = {"title": "Open", "url": url}
        panel.override_by_name(column, [dashboard.DynamicConfigValue(id_val="links", value=[link])])
    return panel


def city_map(title: str, description: str, query: str, *, steps: Steps) -> Any:
    """Markers coloured by the column value, at the columns lat and lon."""
    panel = _dressed(geomap.Panel(), title, description, "short", query, "table", steps)
    markers = {
        "showLegend": True,
        "style": {
            "color": {"field": "value", "fixed": FINE},
            "opacity": 0.8,
            "size": {"fixed": 7, "max": 15, "min": 4},
            "symbol": {"fixed": "img/icons/marker/circle.svg", "mode": "fixed"},
            "text": {"fixed": "", "mode": "field", "field": ""},
        },
    }
    location = common.FrameGeometrySource(mode=common.FrameGeometrySourceMode.COORDS, latitude="lat", longitude="lon")
    layer = common_builders.MapLayerOptions().type("markers").name("places").config(markers).tooltip(True)
    layer._internal.location = location  # the builder for it is missing in 0.0.21
    panel.layers([layer])
    panel.basemap(common_builders.MapLayerOptions().type("osm-standard").name("map"))
    panel.view(geomap.MapViewConfig().id("fit").all_layers(True))
    panel.controls(geomap.ControlsOptions().show_zoom(True).mouse_wheel_zoom(False).show_attribution(True))
    return panel
