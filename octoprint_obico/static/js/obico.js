/* The settings page of the Obico plugin. All texts go in by Knockout's `text` binding, never as HTML. */
$(function () {
    "use strict";

    var HINT_KEY = "obico.hint.seen";

    function ObicoViewModel(parameters) {
        var self = this;
        self.loginState = parameters[0];
        self.access = parameters[1];
        self.settings = parameters[2];

        self.loaded = ko.observable(false);
        self.problem = ko.observable("");
        self.linked = ko.observable(false);
        self.connected = ko.observable(false);
        self.needsPerson = ko.observable(false);
        self.since = ko.observable(null);
        self.reason = ko.observable("");
        self.printerName = ko.observable("");
        self.serverName = ko.observable("");
        self.linkedServer = ko.observable("");
        self.queued = ko.observable(0);
        self.busy = ko.observable(false);
        self.working = ko.observable("");
        self.said = ko.observable("");
        self.saidOk = ko.observable(false);
        self.version = ko.observable("");
        self.cameras = ko.observableArray([]);
        self.primary = ko.observable("");
        self.server = ko.observable("");
        self.code = ko.observable("");
        self.relinking = ko.observable(false);

        self.noCameras = ko.pureComputed(function () {
            return self.cameras().length === 0;
        });
        self.showForm = ko.pureComputed(function () {
            return !self.linked() || self.relinking();
        });
        self.showButtons = ko.pureComputed(function () {
            return self.loaded() && self.linked() && !self.relinking();
        });
        self.dotClass = ko.pureComputed(function () {
            if (!self.linked()) return "";
            if (self.connected()) return "obico-good";
            return self.needsPerson() ? "obico-bad" : "obico-waiting";
        });
        self.headline = ko.pureComputed(function () {
            if (!self.linked()) return gettext("Not linked to a server yet");
            var name = self.printerName() ? " (" + self.printerName() + ")" : "";
            return (self.connected() ? gettext("Connected to ") : gettext("Not connected to ")) + self.linkedServer() + name;
        });
        self.sinceText = ko.pureComputed(function () {
            if (!self.linked() || !self.since()) return "";
            return gettext("since") + " " + new Date(self.since() * 1000).toLocaleString();
        });
        self.queuedText = ko.pureComputed(function () {
            if (!self.queued()) return "";
            return _.sprintf(gettext("%(count)d print event(s) wait to be told to the server."), {count: self.queued()});
        });
        self.workingText = ko.pureComputed(function () {
            return self.working() ? self.working() + " …" : "";
        });
        self.saidClass = ko.pureComputed(function () {
            return self.saidOk() ? "alert-success" : "alert-error";
        });

        self.mayManage = function () {
            return self.loginState.loggedIn() && self.loginState.hasPermission(self.access.permissions.ADMIN);
        };

        self.show = function (status) {
            self.problem("");
            self.linked(status.linked);
            self.connected(status.connected);
            self.needsPerson(status.needs_person);
            self.since(status.since);
            self.reason(status.reason || "");
            self.printerName(status.printer_name || "");
            self.serverName(status.server_name || "");
            self.linkedServer(status.server);
            self.queued(status.queued_events);
            self.busy(Boolean(status.busy));
            self.working(status.busy || "");
            self.version(status.version);
            self.cameras(status.cameras);
            var primary = _.find(status.cameras, function (camera) { return camera.primary; });
            self.primary(primary ? primary.name : "");
            if (!self.server()) self.server(status.server);
            if (status.said) {
                self.said(status.said.text);
                self.saidOk(status.said.ok);
                if (status.said.ok && self.code()) {
                    self.code("");
                    self.relinking(false);
                }
            } else {
                self.said("");
            }
            self.loaded(true);
        };

        self.fail = function (xhr) {
            var answer = xhr && xhr.responseJSON;
            self.said((answer && answer.error) || gettext("OctoPrint did not answer; is it still running?"));
            self.saidOk(false);
        };

        self.load = function () {
            if (!self.mayManage()) {
                self.problem(gettext("Only an administrator of this OctoPrint may look at or change this."));
                return $.Deferred().reject().promise();
            }
            return OctoPrint.simpleApiGet("obico").done(self.show).fail(function (xhr) {
                var answer = xhr && xhr.responseJSON;
                self.problem((answer && answer.error) || gettext("Obico does not answer; see octoprint.log."));
            });
        };

        self.order = function (command, payload) {
            self.said("");
            return OctoPrint.simpleApiCommand("obico", command, payload || {}).done(self.show).fail(self.fail);
        };

        self.link = function () {
            var digits = self.code().replace(/[\s.\-]/g, "");
            if (!/^[0-9]{6}$/.test(digits)) {
                self.said(gettext("The code has six digits; the server's page shows it when you add a printer there."));
                self.saidOk(false);
                return;
            }
            self.order("link", {server: self.server(), code: digits});
        };
        self.relink = function () {
            self.said("");
            self.server(self.linkedServer());
            self.relinking(true);
        };
        self.keepLink = function () {
            self.relinking(false);
        };
        self.unlink = function () {
            showConfirmationDialog({
                title: gettext("Unlink this printer?"),
                message: gettext("The server will no longer see this printer, and nobody can pause it from afar."),
                proceed: gettext("Unlink"),
                onproceed: function () { self.order("unlink"); }
            });
        };
        self.testCamera = function (camera) {
            self.order("test_camera", {name: camera.name});
        };
        self.changeTls = function (camera) {
            self.order("change_camera", {name: camera.name, verify_tls: camera.verify_tls});
        };
        self.makePrimary = function (camera) {
            self.order("change_camera", {name: camera.name, primary: true});
            return true;
        };

        self.hint = function () {
            if (self.linked() || localStorage.getItem(HINT_KEY)) return;
            localStorage.setItem(HINT_KEY, "1");
            new PNotify({
                title: gettext("Obico is installed"),
                text: gettext("Link this printer to a server to watch it from afar: Settings › Obico."),
                type: "info",
                hide: false,
                text_escape: true,
                buttons: {sticker: false}
            });
        };

        self.onSettingsShown = function () {
            self.load();
        };
        self.onDataUpdaterPluginMessage = function (plugin) {
            if (plugin === "obico" && self.loaded()) self.load();
        };
        self.onUserLoggedIn = function () {
            if (self.mayManage()) {
                self.load().done(self.hint);
            }
        };
        self.onUserLoggedOut = function () {
            self.loaded(false);
        };
    }

    OCTOPRINT_VIEWMODELS.push({
        construct: ObicoViewModel,
        dependencies: ["loginStateViewModel", "accessViewModel", "settingsViewModel"],
        elements: ["#settings_plugin_obico_page"]
    });
});
